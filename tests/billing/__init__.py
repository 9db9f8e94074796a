"""Billing: packs, orders, webhooks, refunds, disputes, recharges."""
