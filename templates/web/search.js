// The search of an archive that is only files. It finds what newsletter/archive/search.py finds, in the same order.
"use strict";
(() => {
  const SHARDS = 64, STORIES = 200, MOST_WORDS = 12, WHOLE = 3, BALANCE = 4, SHOWN = 50;
  const LEFT_OUT = /[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670]/gu;
  const UNSPACED = "\\u0e00-\\u0e7f\\u0e80-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3005-\\u3007\\u3041-\\u3096\\u309d-\\u309f"
    + "\\u30a1-\\u30fa\\u30fc-\\u30ff\\u31f0-\\u31ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}";
  const LETTER = `(?:(?![${UNSPACED}])[\\p{L}\\p{N}\\u0900-\\u0963\\u0966-\\u0dff])`;
  const PIECES = new RegExp(`[${UNSPACED}]+|${LETTER}(?:${LETTER}|['’](?=${LETTER}))*`, "gu");
  const IS_UNSPACED = new RegExp(`^[${UNSPACED}]`, "u");

  const folded = text => text.normalize("NFKC").toLowerCase().normalize("NFD").replace(LEFT_OUT, "").normalize("NFC");

  function asked(query) {
    const found = new Map();
    for (const piece of folded(query).match(PIECES) || []) {
      if (IS_UNSPACED.test(piece)) {
        const letters = [...piece];
        if (letters.length === 1) found.set(piece, false);
        for (let at = 0; at + 1 < letters.length; at++) found.set(letters[at] + letters[at + 1], false);
      } else {
        const word = [...piece.replace(/['’]/g, "")].slice(0, 40).join("");
        found.set(word, [...word].length > 2);
      }
    }
    return [...found].slice(0, MOST_WORDS);
  }

  const form = document.querySelector("form[data-files]"), list = document.getElementById("found");
  const kept = new Map();
  const load = name => {
    if (!kept.has(name)) kept.set(name, fetch(`${form.dataset.files}/${name}`).then(answer => {
      if (!answer.ok) throw new Error(answer.status);
      return answer.json();
    }));
    return kept.get(name);
  };

  async function find(query) {
    let counts = null;
    for (const [word, longer] of asked(query)) {
      const words = await load(`words-${word.codePointAt(0) % SHARDS}.json`), found = new Map();
      for (const each of longer ? Object.keys(words).filter(one => one.startsWith(word)) : [word]) {
        for (const posting of words[each] || []) {
          const story = Math.floor(posting / 256);
          found.set(story, (found.get(story) || 0) + posting % 256 * (each === word ? WHOLE : 1));
        }
      }
      if (counts === null) counts = found;
      else {
        const both = new Map();
        for (const [story, one] of counts) if (found.has(story)) {
          const other = found.get(story);
          both.set(story, one + other + BALANCE * Math.min(one, other));
        }
        counts = both;
      }
    }
    const ranked = [...(counts || [])];
    const stories = await Promise.all(ranked.map(async ([story, count]) => {
      const file = await load(`stories-${Math.floor(story / STORIES)}.json`);
      return {story, count, told: file[story % STORIES]};
    }));
    // Of the same count the newer issue comes first, and in an issue the earlier story.
    const issue = each => each.told[0].split("#")[0], first = new Map();
    for (const each of stories) first.set(issue(each), Math.min(each.story, first.get(issue(each)) ?? Infinity));
    stories.sort((a, b) => b.count - a.count || first.get(issue(b)) - first.get(issue(a)) || a.story - b.story);
    return stories.map(each => each.told);
  }

  const made = (name, text, put) => Object.assign(document.createElement(name), {textContent: text || ""}, put);

  async function show() {
    const query = new URLSearchParams(location.search).get("q") || "";
    form.elements.q.value = query;
    if (!query.trim()) return;
    let found;
    try {
      found = await find(query);
    } catch {
      list.replaceChildren(made("p", form.dataset.fault));
      return;
    }
    const hits = made("ol", "", {className: "hits"});
    for (const [path, headline, text, number, date] of found.slice(0, SHOWN)) {
      const item = made("li"), heading = made("h2"), told = made("p", "", {className: "small"});
      heading.append(made("a", headline, {href: path}));
      told.append(made("b", number, {className: "mark"}), " ", made("time", date));
      item.append(heading, made("p", text), told);
      hits.append(item);
    }
    list.replaceChildren(found.length ? hits : made("p", form.dataset.none));
  }
  show();
})();
