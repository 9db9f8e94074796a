"""The ledger: accounts, transfers and outcomes in PostgreSQL, and the proof that nothing is lost.

    1. rows       what the ledger answers: pure records and named refusals
    2. book       every change of money is one SQL function, one transaction, safe to repeat
    3. shelf      the reads behind the control plane, each with a bound
    4. reconcile  named checks that must find no row

What may fail, and what then happens
    PostgreSQL away or slow     PostgresUnavailable within the deadline; nothing is half done
    the commit's reply is lost  call again: ids, refs and versions make the repeat harmless
    an outcome of an unknown key, or a malformed one   OutcomesRefused; the batch changed nothing
"""
