//! Small languages inside values: durations, sizes, address ranges, and TOML as JSON.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use toml_edit::{TableLike, Value};

use crate::model::AddressRange;

/// The longest duration, so that adding it to a time cannot overflow.
const MAX_DURATION: u64 = 366 * 86_400;

/// Reads `10m`, `1h`, `90s`, `1d`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write `90s`, `10m`, `1h` or `1h30m`");
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = rest[end..].chars().next().ok_or_else(wrong)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let part = count.checked_mul(seconds).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[end + 1..];
    }
    if total == 0 {
        return Err(format!("`{text}` is no time at all; write at least `1s`"));
    }
    if total > MAX_DURATION {
        return Err(format!("`{text}` is longer than a year"));
    }
    Ok(Duration::from_secs(total))
}

/// Reads `512M`, `8G`, `1.5T` (powers of 1024; `8GB` is of 1000, as drive makers count).
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write `512M`, `8G` or `2T`");
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let number: f64 = trimmed[..end].parse().map_err(|_| wrong())?;
    let unit = trimmed[end..].trim();
    let (letter, base) = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => (' ', 1024_f64),
        u if u.len() == 2 && u.ends_with('B') => (u.as_bytes()[0] as char, 1000.0),
        u if u.len() == 1 || (u.len() == 3 && u.ends_with("IB")) => {
            (u.as_bytes()[0] as char, 1024.0)
        }
        _ => return Err(wrong()),
    };
    let power = " KMGTP".find(letter).ok_or_else(wrong)?;
    let bytes = number * base.powi(power as i32);
    // Beyond 2^53 a float skips integers; no drive is that large.
    if !(1.0..9.0e15).contains(&bytes) {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// Reads `10.0.0.100-10.0.0.199`, `10.0.0.100-199` or one address.
pub(super) fn range(text: &str) -> Result<AddressRange, String> {
    let wrong = || format!("`{text}` is not a range of addresses; write `10.0.0.100-10.0.0.199`");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: Ipv4Addr = first.trim().parse().map_err(|_| wrong())?;
    let last = last.trim();
    let last = match last.parse::<u8>() {
        Ok(byte) => {
            let [a, b, c, _] = first.octets();
            Ipv4Addr::new(a, b, c, byte)
        }
        Err(_) => last.parse().map_err(|_| wrong())?,
    };
    if last < first {
        return Err(format!("the range `{text}` ends before it begins"));
    }
    Ok(AddressRange { first, last })
}

/// A value that templates cannot have, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoJson {
    pub(super) why: Unusable,
    pub(super) place: Option<Range<usize>>,
}

/// Why templates cannot have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// No output format can carry it.
    #[error("the text holds the control character {0:?}")]
    Control(char),
    /// JSON has no NaN and no infinity.
    #[error("a float must be a finite number")]
    Infinite,
    /// It would stand in answer files that anyone on the wire can read.
    #[error("the text holds a private key")]
    Secret,
}

/// Whether a text holds a private key as PEM and OpenSSH write it.
pub(super) fn is_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY")
}

/// TOML as JSON: dates become strings; text may have line breaks and tabs, no other control
/// character, and no private key.
pub(super) fn json(value: &Value) -> Result<Json, NoJson> {
    let no = |why| NoJson {
        why,
        place: value.span(),
    };
    Ok(match value {
        Value::String(text) => {
            let text = text.value();
            let odd = |c: &char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
            if let Some(control) = text.chars().find(odd) {
                return Err(no(Unusable::Control(control)));
            }
            if is_private_key(text) {
                return Err(no(Unusable::Secret));
            }
            Json::String(text.clone())
        }
        Value::Integer(number) => Json::from(*number.value()),
        Value::Float(number) => serde_json::Number::from_f64(*number.value())
            .map(Json::Number)
            .ok_or_else(|| no(Unusable::Infinite))?,
        Value::Boolean(flag) => Json::Bool(*flag.value()),
        Value::Datetime(date) => Json::String(date.value().to_string()),
        Value::Array(array) => array.iter().map(json).collect::<Result<Json, _>>()?,
        Value::InlineTable(table) => json_table(table)?,
    })
}

/// A table as a JSON object.
pub(super) fn json_table(table: &dyn TableLike) -> Result<Json, NoJson> {
    let mut object = Map::new();
    for (key, item) in table.iter() {
        let value = match item {
            toml_edit::Item::None => continue,
            toml_edit::Item::Value(value) => json(value)?,
            toml_edit::Item::Table(table) => json_table(table)?,
            toml_edit::Item::ArrayOfTables(tables) => tables
                .iter()
                .map(|t| json_table(t))
                .collect::<Result<Json, _>>()?,
        };
        object.insert(key.to_string(), value);
    }
    Ok(Json::Object(object))
}

/// Merges `strong` over `weak`: tables key by key, everything else replaces.
pub(super) fn merge(weak: &Map<String, Json>, strong: &Map<String, Json>) -> Map<String, Json> {
    let mut merged = weak.clone();
    for (key, value) in strong {
        match (merged.get_mut(key), value) {
            (Some(Json::Object(below)), Json::Object(above)) => *below = merge(below, above),
            _ => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json as j;

    use super::*;

    #[test]
    fn durations_and_sizes() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "10x",
            "0s",
            "-1m",
            "1.5h",
            "9999d",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("8G", 8 << 30),
            ("8GiB", 8 << 30),
            ("8 gb", 8_000_000_000),
            ("1.5K", 1536),
            ("512", 512),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "8X", "8GBB", "-8G", "0", "1e5", "9999999P", "8é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_inclusive_and_forward() {
        let check = |text: &str, want: &str| {
            let got = range(text).map(|r| format!("{}-{}", r.first, r.last));
            assert_eq!(
                got.as_deref().ok(),
                Some(want).filter(|w| !w.is_empty()),
                "{text}"
            );
        };
        check("10.0.0.100-10.0.0.199", "10.0.0.100-10.0.0.199");
        check("10.0.0.100 - 199", "10.0.0.100-10.0.0.199");
        check("10.0.0.7", "10.0.0.7-10.0.0.7");
        check("10.0.0.9-10.0.0.1", "");
        check("10.0.0.0/24", "");
        check("", "");
    }

    #[test]
    fn tables_merge_and_the_rest_replaces() {
        let object = |v: Json| v.as_object().cloned().unwrap_or_default();
        let weak = object(j!({"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": {"z": 1}}));
        let strong = object(j!({"a": {"y": [3]}, "b": {"n": 1}, "c": 2}));
        let want = object(j!({"a": {"x": 1, "y": [3]}, "b": {"n": 1}, "c": 2}));
        assert_eq!(merge(&weak, &strong), want);
    }

    #[test]
    fn toml_becomes_json() {
        let value: Value = "{ a = [1, 2.5, true], d = 2024-01-02, t = \"x\" }"
            .parse()
            .expect("toml");
        let want = j!({"a": [1, 2.5, true], "d": "2024-01-02", "t": "x"});
        assert_eq!(json(&value), Ok(want));
        let bad: Value = "[nan]".parse().expect("toml");
        assert!(json(&bad).is_err());
        let bell: Value = "\"\\u0007\"".parse().expect("toml");
        assert!(json(&bell).is_err());
    }
}
