//! Any other text of lines: a value must not add lines to it.

use std::fmt::Write;

use super::{Refused, no_control, put};

pub(super) fn escape(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    no_control(value, &['\t']).map_err(|refused| {
        refused.help("write `{{ VALUE | text }}` if it may have several lines")
    })?;
    put(out, value)
}
