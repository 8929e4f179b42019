//! The house from outside: its walls, its doors, its machines.

mod architecture;
mod rack;
