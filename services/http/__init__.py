"""HTTP's own matters: what requests and answers look like, problems, negotiation, protection. No work is done here."""
