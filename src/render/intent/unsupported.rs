//! `unsupported("..")`: a template says that its installer cannot do what is asked.

use std::fmt;

use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::reads_of;

/// What an installer cannot do.
#[derive(Debug)]
pub(in crate::render) struct Unsupported {
    /// What to tell the operator.
    pub(in crate::render) sentence: String,
    /// The key that asks for it, if that can be told.
    pub(in crate::render) key: Option<String>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Unsupported {}

/// Makes the function known. Its second argument names the key; without it that is the key which was
/// read last, by the condition that the call stands under.
pub(in crate::render) fn register(environment: &mut Environment<'static>) {
    environment.add_function(
        "unsupported",
        |state: &State<'_, '_>, sentence: String, key: Option<String>| -> Result<Value, Error> {
            let key = key.or_else(|| reads_of(state).last());
            let error = Error::new(ErrorKind::InvalidOperation, sentence.clone());
            Err(error.with_source(Unsupported { sentence, key }))
        },
    );
}
