//! Times and spans of time as people write and read them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::model::Timestamp;

/// Reads `90s`, `30m`, `1h30m`, `2d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time; write `90s`, `30m`, `24h` or `2d`");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let signed = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    if signed <= SignedDuration::ZERO {
        return Err(wrong());
    }
    Ok(signed.unsigned_abs())
}

/// Reads a point in time: RFC 3339, a date, or a span back from `now`.
pub(super) fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(span) = parse_duration(text) {
        let signed = SignedDuration::try_from(span).map_err(|e| e.to_string())?;
        return now
            .checked_sub(signed)
            .map_err(|_| format!("`{text}` ago is before all time"));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let zone = jiff::tz::TimeZone::system();
    text.parse::<jiff::civil::DateTime>()
        .ok()
        .and_then(|at| at.to_zoned(zone).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(|| {
            format!("`{text}` is not a time; write `2h` (ago), `2026-11-20` or `2026-11-20T12:00`")
        })
}

/// What names a revision, as the server and the store read it: a date becomes a point in time, and
/// `#3` build 3 of `system`. Everything else (a digest's beginning, `live`, `web01#3`) stays.
pub(super) fn revision(text: &str, system: Option<&str>, now: Timestamp) -> Result<String, String> {
    match (text.split_once('#'), system) {
        (Some(("", number)), Some(system)) => Ok(format!("{system}#{number}")),
        (Some(("", _)), None) => Err(format!(
            "`{text}` is a build of which system? write NAME{text}"
        )),
        (Some(_), _) => Ok(text.to_string()),
        (None, _) if text.contains(['-', ':']) => Ok(parse_since(text, now)?.to_string()),
        (None, _) => Ok(text.to_string()),
    }
}

/// `4m12s`: the two largest units, nothing finer than a second.
pub(super) fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    let (d, h, m, s) = (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m{s:02}s"),
        (0, _, _) => format!("{h}h{m:02}m"),
        _ => format!("{d}d{h:02}h"),
    }
}

/// `4.2s`, `4m12s`: short spans with tenths.
pub(super) fn fine(milliseconds: u64) -> String {
    match milliseconds {
        0..60_000 => format!("{:.1}s", milliseconds as f64 / 1000.0),
        _ => human(Duration::from_millis(milliseconds)),
    }
}

/// From `earlier` to `later`, nothing if the clock went backwards.
pub(super) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// `4m12s ago`, or `in 4m12s`.
pub(super) fn relative(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("in {}", human(between(now, time)))
    } else {
        format!("{} ago", human(between(time, now)))
    }
}

/// Local time of day, for following events.
pub(super) fn clock(time: Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

/// Local date and time, for lists.
pub(super) fn stamp(time: Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// `1.4 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800)] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "0s", "-5m", "soon", "10", "24x"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_printed_with_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (252, "4m12s"),
            (3600, "1h00m"),
            (90_000, "1d01h"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
        assert_eq!(fine(0), "0.0s");
        assert_eq!(fine(4_249), "4.2s");
        assert_eq!(fine(61_500), "1m01s");
    }

    #[test]
    fn since_is_a_time_or_a_span_back() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
        let want: Timestamp = "2026-11-20T10:00:00Z".parse().expect("a time");
        assert_eq!(parse_since("2h", now), Ok(want));
        assert_eq!(parse_since("2026-11-20T10:00:00Z", now), Ok(want));
        assert!(parse_since("yesterday-ish", now).is_err());
        assert!(parse_since("2026-11-20", now).is_ok());
    }

    #[test]
    fn a_revision_is_named_by_date_build_or_digest() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
        for (text, system, want) in [
            ("live", None, Some("live")),
            ("2dbea172", None, Some("2dbea172")),
            ("web-01#3", None, Some("web-01#3")),
            ("#3", Some("web01"), Some("web01#3")),
            ("#3", None, None),
            ("2026-11-20T10:00:00Z", None, Some("2026-11-20T10:00:00Z")),
            ("2026-13-20", None, None),
        ] {
            let read = revision(text, system, now);
            assert_eq!(read.as_deref().ok(), want, "{text}");
        }
        let day = revision("2026-11-19", None, now).expect("a date");
        assert!(day.parse::<Timestamp>().is_ok(), "{day}");
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_468_006), "1.4 MiB");
    }
}
