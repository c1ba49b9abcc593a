"""From an approved action to an observed effect: the state machine, the outbox, the connectors and the dispatcher."""
