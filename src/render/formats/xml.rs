//! XML.

use super::{Findings, Refused, shown, unattend};

/// A value for element content or a quoted attribute.
pub(in crate::render) fn escaped(value: &str) -> Result<String, Refused> {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // otherwise normalised to a space in attributes
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                return Err(Refused::because(format!(
                    "{} has a character that XML cannot hold",
                    shown(value)
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    if well_formed(text, findings) == Some("unattend") {
        unattend::lint(text, findings);
    }
}

/// Well-formed as far as elements go: each is closed, in order, and there is one root, whose name it gives.
fn well_formed<'a>(text: &'a str, findings: &mut Findings<'_>) -> Option<&'a str> {
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut roots = 0;
    let mut root = None;
    let mut at = 0;
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        let rest = &text[start..];
        let skip = |open: &str, close: &str| {
            rest.strip_prefix(open)
                .map(|r| r.find(close).map(|n| open.len() + n + close.len()))
        };
        let skipped = skip("<!--", "-->")
            .or_else(|| skip("<![CDATA[", "]]>"))
            .or_else(|| skip("<?", "?>"))
            .or_else(|| skip("<!", ">"));
        if let Some(length) = skipped {
            let Some(length) = length else {
                findings.error(line_of(start), "opened here and never closed");
                return None;
            };
            at = start + length;
            continue;
        }
        let Some(length) = tag_length(rest) else {
            findings.error(line_of(start), "a `<` without its `>`");
            return None;
        };
        let tag = &rest[1..length - 1];
        at = start + length;
        if let Some(closing) = tag.strip_prefix('/') {
            match open.pop() {
                Some((opened, _)) if opened == closing.trim() => {}
                Some((opened, line)) => {
                    findings.error(
                        line_of(start),
                        format!(
                            "`</{}>` where `</{opened}>` is due (line {line})",
                            closing.trim()
                        ),
                    );
                    return None;
                }
                None => {
                    findings.error(
                        line_of(start),
                        format!("`</{}>` closes nothing", closing.trim()),
                    );
                    return None;
                }
            }
            continue;
        }
        let name = tag.split([' ', '\t', '\n', '\r']).next().unwrap_or("");
        if open.is_empty() {
            roots += 1;
            root = Some(name);
        }
        if !tag.ends_with('/') {
            open.push((name, line_of(start)));
        }
    }
    if let Some((name, line)) = open.pop() {
        findings.error(line, format!("`<{name}>` is never closed"));
    } else if roots != 1 {
        findings.error(
            1,
            format!("an XML document has one root element, not {roots}"),
        );
    } else {
        return root;
    }
    None
}

/// Bytes up to and with the `>` that ends a tag; quotes may hold one.
pub(super) fn tag_length(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return Some(at + 1),
            _ => {}
        }
    }
    None
}
