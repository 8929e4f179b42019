//! What operators read: systems, reasons, events.
