"""What servers say when they refuse: phrases that tell what is meant where the code doesn't, or is wrong.

Substrings of the words in small letters, asked in this order; a hundred of them take less time than one regular
expression. Phrases only, no sentences: servers differ in the rest. "recipient address rejected: access denied" is
Microsoft 365 where its edge asks the directory; "receiving mail at a rate" is Gmail on the reader's mail, not on ours.
"""

from __future__ import annotations

import re

from newsletter.states import ReturnKind


def phrases(text: str) -> tuple[str, ...]:
    """The phrases of a table: divided by | and by lines, with _ for a space at the end or the beginning of one."""
    return tuple(
        each.strip().replace("_", " ") for line in text.splitlines() for each in line.split("|") if each.strip()
    )


_SENDER = phrases(
    """
    after mail from | reply to mail from | after helo | after ehlo | unroutable sender | unrouteable sender | valid from
    my name was rejected | not have permission | from: domain | invalid ip | invalid domain name
    sender address rejected | sender rejected | sender denied | sender verif | sender callout
    sender address verif | sender unknown | sender not allowed | sender is not | sender domain
    domain of sender | invalid sender | bad sender | unknown sender | envelope sender | from address
    mail from domain | not allowed to send | allowed to send to | not authorized to send | permission to send
    restrictsendingto | authrequired | not have the necessary permission
    """
)
"""It is the sender who isn't wanted, whatever else is said of an address."""

_GONE = phrases(
    """
    this user doesn't have a | this user does not have a | disabled recipient | invalid final delivery userid
    user unknown | unknown user | unknown recipient | recipient unknown | unknown local part | unknown address
    address unknown | unknown account | unknown mailbox | mailbox unknown | unknown or illegal alias
    unknown email address | no such user | no such recipient | no such mailbox | no such address
    no such person | no such account | no such local user | no such email | no mailbox here by that name
    no mailbox by that name | no mailbox found | no account by that name | no user by that name
    no valid recipient | not a valid mailbox | not a valid user | not a valid recipient | not a known user
    not a user here | not a local user | not listed in domino directory
    not listed in public name & address book | user not found | mailbox not found | recipient not found
    account not found | recipnotfound | recipientnotfound | resolver.adr.recip | not found in directory
    nonexistent user | non-existent user | nosuchuser | invalid recipient | invalid mailbox | invalid user
    recipient invalid | bad destination mailbox | unrouteable address | unroutable address
    doesn't have an account | doesn't have a yahoo | does not have a yahoo | does not have an account
    account has been disabled | account is disabled | account disabled
    account that you tried to reach is disabled | account that you tried to reach is inactive
    mailbox is disabled | mailbox disabled | mailbox has been disabled | user is disabled | user disabled
    recipient disabled | account is inactive | account inactive | mailbox is inactive | mailbox inactive
    inactive mailbox | inactive user | user is inactive | account expired | account closed
    account has been closed | account deleted | has left the company | recipient address rejected: access denied
    null mx | domain does not accept mail | domain doesn't accept mail | unbekannter empf | empfänger unbekannt
    empfänger existiert nicht | adresse inconnue | utilisateur inconnu | destinataire inconnu
    usuario desconocido | utente sconosciuto | nie istnieje | нет такого пользователя | 查无此人 | 收件人不存在
    邮箱不存在 | 用户不存在 | ）不存在 | 找不到收件人 | 존재하지 않
    """
)
"""There is no such mailbox or domain, or it has been shut for good."""

_FULL = phrases(
    """
    recipient account is blocked | account is locked | temporarily locked | temporary locked
    mailbox full | mailbox is full | mail box full | inbox is full | inbox full | full mailbox | out of storage
    storage space | storage limit | over quota | overquota | over the maximum allowed quota | exceeded storage
    exceeds allowed message count | exceeded its quota | quota exceeded | exceeded quota | exceeded the quota
    exceeded his/her quota | quota exceed | exceeds the quota | quotaexceeded | exceeded mailbox
    mailbox exceeded | mailbox size limit | insufficient storage | not enough storage | disk full | disk quota
    no space left | insufficient disk | receiving mail at a rate | receiving mail too quickly | postfach voll
    postfach ist voll | speicherplatz | boîte pleine | boîte aux lettres pleine | est pleine | saturée
    buzón lleno | caixa cheia | casella piena | переполнен | квот | 容量を超え | 一杯です | いっぱいです
    邮箱已满 | 空间不足 | 信箱已滿 | message size exceeds | exceeds maximum message size | message too big
    message too large | size limit exceeded | exceeds size limit | larger than the current system limit
    too many hops | routing loop | mail loop | loops back to | hop count exceeded | account has been suspended
    account is suspended | account suspended | temporarily suspended
    """
)
"""Full, or our message too long for them, or running in circles: it may change."""

_REFUSED = phrases(
    """
    message rejected | mail rejected | rejected message | rejected mail | client ip | protocol violation
    権限 | 權限 | 权限 | autorisé | berechtigung | permiso_
    spam | bulk mail | unsolicited | junk | blacklist | black list | blocklist | block list | blocked
    block-list | denylist | banned | spamhaus | spamcop | barracudacentral | sorbs | dnsbl | _rbl | .rbl
    reputation | senderscore | dmarc | spf_ | spf) | spf= | dkim | unauthenticated | not authenticated
    authentication required | authentication checks | authentication failed | authentication information
    policy | policies | prohibited | refused by | content rejected | content filter | message content
    rejected due to | rejected for | virus | malware | phish | suspicious | complaints | too many connections
    too many messages | too many emails | too many recipients | too many errors | too much mail | rate limit
    ratelimit | rate-limit | rate that | throttl | sending rate | sending limit | exceeded the maximum number of
    temporarily deferred | temporarily rate limited | unusual rate | unusual traffic | greylist | graylist
    grey-list | greylisting | not accepted from | relay access denied | relaying denied | relay not permitted
    unable to relay | we do not relay | not permitted to relay | reverse dns | rdns | ptr record | no ptr
    bad helo | helo command rejected | client host rejected | client host blocked | your ip | ip address is
    ip address has | sending ip | from_ip_ | your host | your email service | starttls | must issue
    administrative prohibition | administratively denied | permission denied | access denied | not rfc
    rfc 5322 | rfc5322 | transaction failed | richtlinie | abgelehnt aus | politique | отклонено | спам
    垃圾邮件 | 迷惑メール | なりすまし
    """
)
"""We, or this message, aren't wanted: reputation, authentication, rates, content, blocklists."""

_GONE_TOO = phrases(
    """
    見つかりません
    not exist | doesn't exist | no longer valid | no longer in use | no longer active | no longer available
    no longer exists | no longer with | invalid address | address invalid | bad address | address not found
    couldn't be found | wasn't found at | host unknown | unknown host | unknown domain | domain unknown
    domain not found | domain name not found | couldn't find any host | no such domain | nxdomain
    nicht gefunden | ist unbekannt | introuvable | existiert nicht | n'existe pas | no existe | não existe
    non esiste | не существует | не найден | 見つかりませんでした | 存在しません | 存在しない | 不存在
    """
)
"""The same, in words that are said of senders, hosts and records as well: only where nothing else is refused."""

_PERHAPS = phrases(
    """
    mailbox unavailable | mailbox is unavailable | mailbox not available | address rejected | recipient rejected
    recipient refused | rejected recipient | recipient not accepted | not our customer | undeliverable address
    disabled | inactive | deactivated
    """
)
"""What is said of addresses that don't exist, among others. It counts where the code doesn't speak of us."""

_LATER = phrases(
    """
    service currently unavailable | expired | giving up | lookup failure | rejected by a remote mail server
    retry timeout exceeded | retry time not reached | message expired | delivery time expired | queue too long
    in the queue too long | timed out | timeout | connection refused | no route to host | network is unreachable
    host unreachable | not responding | lost connection | connection dropped | try again later | temporar
    i'm not going to try again | couldn't establish an smtp connection | couldn't be contacted
    could not be contacted | service unavailable | server busy | local configuration error | internal error
    system error | server error
    """
)
"""Their machines are in trouble."""

_ADDRESS = re.compile(r"<?[!-9=?A-Z_a-z{|}~+]{1,100}@[A-Za-z0-9.-]{1,100}>?")
_PREAMBLE = re.compile(
    r"[245]\.\d\.\d - (?:unknown address error|other \w+(?: \w+){0,4}|bad destination \w+(?: \w+){0,3}) (?=[245]\d\d)"
)
"""What Cisco's gateways put before the other server's words: it says less."""
_CODES = re.compile(r"(?<![\w.])[245]\d\d(?:[ -]+#?[245]\.\d{1,3}\.\d{1,3})?[ -]")
_SPACE = re.compile(r"\s+")
_NO_SUCH = re.compile(
    r"\b(?:user|recipient|mailbox|address|account|alias|person)\b[^.;]{0,80}"
    r"\b(?:is unknown|is invalid|not known|not valid|not found|unknown\b|invalid\b|is not a |isn't a )"
    r"|\bno (?:such )?(?:user|mailbox|recipient|account)\b"
    r"|\b(?:invalid|unknown|nonexistent|non-existent)\b[^.;]{0,30}\b(?:user|recipient|mailbox|address|account)\b"
)
_FULL_LOOSELY = re.compile(
    r"\b(?:mailbox|inbox|account|user|quota|storage)\b[^.;]{0,80}\b(?:full|over quota|exceed(?:s|ed)?|limit)\b"
)
_LONGEST = 4000
"""Characters that are looked at."""


def meaning(words: str) -> tuple[ReturnKind | None, bool]:
    """What a server's words mean, hard, soft or policy, and whether that holds against its code.

    (None, False) where they say nothing known.
    """
    # Without addresses: somebody@spam.example isn't spam.
    text = _ADDRESS.sub(" @ ", words[:_LONGEST].lower().replace("\u2019", "'"))
    text = _SPACE.sub(" ", _CODES.sub(" ", _PREAMBLE.sub(" ", text) + " "))
    if _any(_SENDER, text):
        return ReturnKind.policy, True
    full = _any(_FULL, text)
    if not full and _any(_GONE, text):
        return ReturnKind.hard, True
    refused = not full and _any(_REFUSED, text)
    if full or (not refused and _FULL_LOOSELY.search(text)):
        return ReturnKind.soft, True
    if refused:
        return ReturnKind.policy, True
    if _any(_GONE_TOO, text) or _NO_SUCH.search(text):
        return ReturnKind.hard, True
    if _any(_PERHAPS, text):
        return ReturnKind.hard, False
    if _any(_LATER, text):
        return ReturnKind.soft, False
    return None, False


def _any(phrases: tuple[str, ...], text: str) -> bool:
    return any(phrase in text for phrase in phrases)
