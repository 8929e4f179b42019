//! Whole conversations in microseconds, without a socket.

mod addresses;
mod booting;
mod golden;
mod installers;
mod owners;
mod property;
mod relays;
mod reserved_later;
mod wire_format;
