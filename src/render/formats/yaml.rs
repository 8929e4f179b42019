//! YAML: values are written as JSON scalars, which YAML reads.

use super::Findings;

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    for (number, line) in text.lines().enumerate() {
        if line
            .find(|c| c != ' ')
            .is_some_and(|at| line[at..].starts_with('\t'))
        {
            findings.error(number + 1, "a tab indents this line, which YAML forbids");
        }
    }
}
