// Finds a number that makes the SHA-256 (FIPS 180-4) of "SEAL:NUMBER" begin with so many zero bits, then sends the form.
// Written out, since crypto.subtle answers late and is missing on plain http. The page works without it, only slower.
"use strict";
(() => {
  const form = document.getElementById("work");
  const seal = form.elements.work_seal.value + ":";
  const bits = Number(form.dataset.bits);
  const K = new Int32Array(64), H = new Int32Array(8), W = new Int32Array(64);
  for (let n = 2, found = 0; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    const part = (x) => ((x - Math.floor(x)) * 4294967296) | 0;
    if (found < 8) H[found] = part(Math.sqrt(n));
    K[found++] = part(Math.cbrt(n));
  }
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  function block(state, bytes, at) {
    for (let i = 0; i < 16; i++, at += 4) W[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = W[i - 15], y = W[i - 2];
      W[i] = (W[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + W[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
      const t = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + s) | 0; d = c; c = b; b = a; a = (s + t) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  }
  // The whole blocks of the seal are hashed once.
  const raw = new TextEncoder().encode(seal), whole = raw.length - (raw.length % 64);
  const begun = Int32Array.from(H);
  for (let at = 0; at < whole; at += 64) block(begun, raw, at);
  const rest = raw.subarray(whole);
  function first(number) {
    const digits = String(number), length = rest.length + digits.length;
    const bytes = new Uint8Array(length + 9 > 64 ? 128 : 64);
    bytes.set(rest);
    for (let i = 0; i < digits.length; i++) bytes[rest.length + i] = digits.charCodeAt(i);
    bytes[length] = 128;
    new DataView(bytes.buffer).setUint32(bytes.length - 4, (whole + length) * 8);
    const state = Int32Array.from(begun);
    for (let at = 0; at < bytes.length; at += 64) block(state, bytes, at);
    return state[0] >>> 0;
  }
  let number = 0;
  function some() {
    for (const end = number + 5000; number < end; number++) {
      if (first(number) >>> (32 - bits) === 0) {
        form.elements.work.value = String(number);
        form.submit();
        return;
      }
    }
    setTimeout(some, 0);
  }
  some();
})();
