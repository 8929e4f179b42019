//! How lists are changed.

use toml_edit::DocumentMut;

use super::*;

/// The table after changes as typed.
fn after(table: &str, typed: &[&str]) -> Result<String, AssignmentError> {
    let mut document: DocumentMut = table.parse().expect(table);
    for typed in typed {
        let mut change: Assignment = typed.parse()?;
        change.inherited = vec!["d1".to_string(), "d2".to_string()];
        change.apply(document.as_table_mut())?;
    }
    Ok(document.to_string())
}

#[track_caller]
fn check(before: &str, typed: &[&str], want: &str) {
    assert_eq!(after(before, typed).as_deref(), Ok(want), "{typed:?}");
}

#[test]
fn changes_of_one_list_add_up() {
    let tags = "tags = [\"old\", \"rack11\"] # c\n";
    check(
        tags,
        &["tags+=web", "tags-=old"],
        "tags = [\"rack11\", \"web\"] # c\n",
    );
    check(
        tags,
        &["tags=a,b", "tags+=c", "tags-=a"],
        "tags = [\"b\", \"c\"] # c\n",
    );
    check(tags, &["tags+=old", "tags-=none"], tags);
    check("", &["tags+=a", "tags-=d1"], "tags = [\"d2\", \"a\"]\n");
    check("", &["tags-=none"], "");
}

#[test]
fn elements_are_what_they_look_like() {
    let ports = "vars = { ports = [80, 443], names = [\"80\"] }\n";
    check(
        ports,
        &["vars.ports+=8080,8081", "vars.ports-=80", "vars.names-=80"],
        "vars = { ports = [443, 8080, 8081], names = [] }\n",
    );
    check("", &["vars.ports+=80"], "vars = { ports = [80] }\n");
    check(
        "",
        &["vars.names+=\"a,b\""],
        "vars = { names = [\"a,b\"] }\n",
    );
    check("", &["vars.ports-=80"], "");
    let key = "ssh-ed25519 AAAA alice, her laptop";
    let added = format!("ssh_keys = [\"d1\", \"d2\", \"{key}\"]\n");
    let typed = format!("ssh_keys+={key}");
    check("", &[typed.as_str()], &added);
    check(
        "packages = [\"vim\"]\n",
        &["packages+=tcpdump, jq"],
        "packages = [\"vim\", \"tcpdump\", \"jq\"]\n",
    );
    check(
        "mac = \"52:54:00:00:00:01\"\n",
        &["macs+=5254.0000.0002", "macs-=52-54-00-00-00-01"],
        "macs = [\"5254.0000.0002\"]\n",
    );
}

#[test]
fn what_cannot_be_added_to_is_refused() {
    for (before, typed, message) in [
        ("", "ip+=10.0.0.1", "`ip` is no list"),
        ("vars.a = 1\n", "vars.a+=2", "`vars.a` is no list"),
        ("", "packages+=vim", "no `packages` of its own"),
        ("", "users.a.groups+=adm", "no `users.a.groups` of its own"),
        ("", "tags+=", "is not an assignment"),
    ] {
        let error = after(before, &[typed]).expect_err(typed).to_string();
        assert!(error.contains(message), "{typed}: {error}");
    }
}

#[test]
fn interface_tables_are_not_lost_by_a_mac() {
    let tables = "[[interface]]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.1\"\n";
    for typed in [
        "mac=525400000002",
        "macs=525400000002",
        "macs+=525400000002",
    ] {
        let error = after(tables, &[typed]).expect_err(typed).to_string();
        assert!(error.contains("`interface` tables"), "{typed}: {error}");
    }
    check(
        tables,
        &["interface=", "mac=5254.0000.0002"],
        "mac = \"5254.0000.0002\"\n",
    );
}

#[test]
fn comments_in_a_list_stay_with_their_elements() {
    let lines = "tags = [ # all\n  \"a\", # of a\n  # the rest\n  \"b\", # of b\n]\n";
    check(
        lines,
        &["tags+=c"],
        "tags = [ # all\n  \"a\", # of a\n  # the rest\n  \"b\", # of b\n  \"c\",\n]\n",
    );
    check(
        lines,
        &["tags-=b"],
        "tags = [ # all\n  \"a\", # of a\n  # the rest\n]\n",
    );
    check(
        lines,
        &["tags-=a"],
        "tags = [ # all\n  # the rest\n  \"b\", # of b\n]\n",
    );
    check(lines, &["tags-=a,b"], "tags = [ # all\n  # the rest\n]\n");
    let no_comma = "tags = [\n  \"a\",\n  \"b\" # of b\n]\n";
    check(
        no_comma,
        &["tags+=c"],
        "tags = [\n  \"a\",\n  \"b\", # of b\n  \"c\"\n]\n",
    );
    check(no_comma, &["tags-=b"], "tags = [\n  \"a\"\n]\n");
    check(
        "tags = [\n  # none yet\n]\n",
        &["tags+=a"],
        "tags = [\n  # none yet\n    \"a\"\n]\n",
    );
    check(
        "tags = [\"a\", \"b\" # both\n]\n",
        &["tags-=b"],
        "tags = [\"a\" # both\n]\n",
    );
    check(
        "tags = [\"a\", \"b\", \"c\"]\n",
        &["tags-=a,c"],
        "tags = [\"b\"]\n",
    );
}
