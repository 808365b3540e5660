"""A mailbox that citizens write to: each mail is a feedback received, without the person and without attachments."""
