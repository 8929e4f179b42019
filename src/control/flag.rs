//! Flagging, cancelling, booting once.
