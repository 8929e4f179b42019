//! `docs/cli.md`: the help of every verb, as one page.

use clap::Command;

const HEAD: &str = "# The command line\n\n\
This page is what `farrier VERB --help` prints; `cargo test` refuses it if it is anything else, and \
`BLESS=1 cargo test --test it docs_of_the_command_line` writes it anew.\n\n\
Data goes to stdout, talk to stderr. `-o json` prints one value (`docs/json.md`), and an error as one \
object on stderr. Environment: `FARRIER_SITE`, `FARRIER_STATE`, `FARRIER_LOG`, `NO_COLOR`, `FARRIER_NO_PROGRESS`.\n\n\
| exit code | meaning |\n|---|---|\n\
| 0 | done |\n\
| 1 | failed, or the files are wrong |\n\
| 2 | done, and there is a difference (`plan`, `apply --dry-run`, `render --diff`, `revision diff`, `doctor --strict`) |\n\
| 3 | not found |\n\
| 4 | refused by a guard: protected, a count that does not match, not confirmed, not allowed |\n\
| 5 | some were done and some were not |\n\
| 6 | timed out |\n\
| 7 | no server answers |\n\
| 64 | the command line makes no sense |\n";

/// The page.
pub fn reference() -> String {
    let mut command = super::command().term_width(80);
    command.build();
    let mut page = HEAD.to_string();
    section(&mut page, &mut command, "farrier", true);
    page
}

fn section(page: &mut String, command: &mut Command, path: &str, top: bool) {
    let help = command.render_long_help().to_string();
    // Global options are on the first page only.
    let help = match help.split_once("\nGlobal options:") {
        Some((own, _)) if !top => own,
        _ => help.as_str(),
    };
    page.push_str(&format!("\n## {path}\n\n```text\n"));
    for line in help.trim_end().lines() {
        page.push_str(line.trim_end());
        page.push('\n');
    }
    page.push_str("```\n");
    for sub in command.get_subcommands_mut() {
        if sub.get_name() != "help" {
            let path = format!("{path} {}", sub.get_name());
            section(page, sub, &path, false);
        }
    }
}
