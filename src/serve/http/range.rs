//! Conditional and range requests (RFC 9110 sections 13 and 14): which part of a file is wanted.

use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What part of a file a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: 200.
    Whole,
    /// From the first byte to before the second: 206.
    Part(u64, u64),
    /// A range outside of it: 416.
    Outside,
    /// It is not the file that the client has the first half of: 412.
    Changed,
    /// The client has it already: 304.
    Known,
}

/// Reads the conditions of a request for a file of `size` bytes with this strong entity tag.
///
/// More than one range, and a range that is no range, are answered with the whole file, as the RFC
/// allows: nothing that boots asks for several.
pub(super) fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(tags) = text(IF_MATCH)
        && !names(tags, etag)
    {
        return Wanted::Changed;
    }
    if let Some(tags) = text(IF_NONE_MATCH)
        && names(tags, etag)
    {
        return Wanted::Known;
    }
    if text(IF_RANGE).is_some_and(|tag| tag.trim() != etag) {
        return Wanted::Whole;
    }
    text(RANGE)
        .and_then(|range| part(range, size))
        .unwrap_or(Wanted::Whole)
}

fn names(tags: &str, etag: &str) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| tag.trim() == etag)
}

fn part(range: &str, size: u64) -> Option<Wanted> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(last)) if last < start => return None,
        (Some(start), Some(last)) => (start, last.saturating_add(1).min(size)),
        (Some(start), None) if last.is_empty() => (start, size),
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return Some(Wanted::Outside);
            }
            (size.saturating_sub(suffix), size)
        }
        _ => return None,
    };
    Some(if start >= size {
        Wanted::Outside
    } else {
        Wanted::Part(start, end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn ranges_and_conditions() {
        let check = |pairs: &[(&'static str, &'static str)], expect: Wanted| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(wanted(&headers, 100, "\"e\""), expect, "{pairs:?}");
        };
        let range = |text: &'static str, expect| check(&[("range", text)], expect);
        check(&[], Wanted::Whole);
        range("bytes=0-", Wanted::Part(0, 100));
        range("bytes=10-19", Wanted::Part(10, 20));
        range("bytes=90-1000", Wanted::Part(90, 100));
        range("bytes=99-99999999999999999999999", Wanted::Part(99, 100));
        range("bytes=-10", Wanted::Part(90, 100));
        range("bytes=-1000", Wanted::Part(0, 100));
        range("bytes=-0", Wanted::Outside);
        range("bytes=100-", Wanted::Outside);
        range("bytes=99999999999999999999999-", Wanted::Outside);
        range("bytes=20-10", Wanted::Whole);
        range("bytes=0-1,5-6", Wanted::Whole);
        range("bytes=-", Wanted::Whole);
        range("bytes=+1-2", Wanted::Whole);
        range("lines=0-1", Wanted::Whole);
        let part = ("range", "bytes=50-");
        check(&[part, ("if-range", "\"e\"")], Wanted::Part(50, 100));
        check(&[part, ("if-range", "\"old\"")], Wanted::Whole);
        check(&[part, ("if-range", "W/\"e\"")], Wanted::Whole);
        check(&[part, ("if-match", "\"e\"")], Wanted::Part(50, 100));
        check(&[part, ("if-match", "\"x\", \"e\"")], Wanted::Part(50, 100));
        check(&[part, ("if-match", "*")], Wanted::Part(50, 100));
        check(&[part, ("if-match", "\"old\"")], Wanted::Changed);
        check(&[("if-none-match", "\"e\"")], Wanted::Known);
        check(&[("if-none-match", "\"old\"")], Wanted::Whole);
    }
}
