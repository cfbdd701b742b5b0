"""Conversion between the dialects of A2A: 0.2 and 0.3 on one side, 1.0 on the other. Pure, JSON to JSON.

`requests`       a JSON-RPC request for an agent of the other dialect, and what its answer needs
`answers`        the answer to such a request, errors included
`streams`        one event of a streamed answer at a time
`event_streams`  reads and writes Server-Sent Events, piece by piece
`notifications`  the bodies of push notifications
`cards`          agent cards: as 1.0, as 0.3, and as one document for both
`card_signatures`  what the signatures of cards cover
`canonical_json`  JSON in the one form that signatures cover
`interfaces`     the interfaces that a card of either dialect offers
`agent_security`  what a card requires of callers
`extension_headers`  the headers that the extensions of a card name
`dialects`       which dialect a caller uses
`methods`        the JSON-RPC methods of both dialects
`errors`         the one error of this package, and the error codes of the protocol
`error_objects`  JSON-RPC errors in both forms
`events`, `messages`, `parts`, `tasks`, `push_configs`, `security`
                 one noun of the protocol each: `upgrade_...` makes it 1.0, `downgrade_...` makes it 0.3
`rest`           the HTTP+JSON binding of both versions

All functions take values of parsed JSON, of any type and by any author, whose depth the parser has limited. They return
the conversion or raise `errors.ConversionFailed`. They change nothing that they are given, and a result may share parts
with it. Members that the protocol does not know are kept; a value of a wrong type stays as it is, so that the reader
judges it. What is already in the form of the target stays as it is.
"""
