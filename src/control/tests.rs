//! The waist against a real store, with a clock that tests turn.
