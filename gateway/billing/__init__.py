"""Top-ups through Stripe: orders, what Stripe says of them, and what follows for keys and books.

    pure    packs      what can be bought, from TOML
            orders     an order as the database keeps it
            seen       what Stripe said, as records of ours
            facts      everything that was ever said of an order, merged: any order, any repeats
    doing   till       every change is one SQL function, one transaction, safe to repeat
            port       what is asked of Stripe
            stripe_port  the only module that knows the `stripe` library
            checkout   order row, then the call, then the session on the row
            looking    fetches what Stripe says of an order and settles it
            inbox      webhooks: signature, inbox row, 200; then the order is looked at
            sweep      every ten minutes: what no webhook told, orders that were abandoned
            recharge   top-ups by themselves, as their owner allowed
            notify     what an owner's webhook is told

What may fail, and what then happens
    Stripe away         checkout answers 503; webhooks wait in the inbox; the sweep heals the rest
    a process killed    every step is found again by its row and repeated under the same ids
    PostgreSQL away     503, and Stripe sends its webhook again
"""
