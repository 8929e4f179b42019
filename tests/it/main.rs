//! Everything that needs more than one room.

mod artefacts;
mod upstream;
