"""Senders killed, stopped and lied to, some thousand times; what the mail server got is compared with the ledger.

`python -m tests.torture --runs 2000`. One module each:

    scenarios   what is done to the senders in a run, each by its name
    play        which runs there are, and one of them from its folder to its verdict
    run         one run: a copied database, a mail server, real processes, until nothing is due any more
    server      the mail server: one thread, difficult on request, keeps receipts
    stages      where a sender is killed in its own code; every private name of the program stands there
    processes   fork without an import, a clock that can be shared, hurried and put wrong
    ledgers     databases: made once, copied, attacked, read
    oracle      what was promised, asked of receipts and ledger
"""
