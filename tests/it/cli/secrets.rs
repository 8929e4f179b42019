//! `farrier secret`: what is said, how it ends, and that a value is never among it.

use super::*;

const VALUE: &str = "hunter2-canary";

#[test]
fn a_secret_is_set_listed_kept_while_referred_to_and_removed() {
    let place = Workplace::served();
    assert_eq!(place.run("secret ls -o json").stdout, "[]\n");
    let set = place.run_with("secret set db/web01", &format!("{VALUE}\n"));
    assert_eq!((set.code, set.stdout.as_str()), (0, ""), "{}", set.stderr);
    assert!(set.stderr.contains("`db/web01` is set"), "{}", set.stderr);

    let refer = place.run("set web01 vars.db={secret=\"db/web01\"} vars.more={secret=\"not/yet\"}");
    assert_eq!(refer.code, 0, "{}", refer.stderr);
    let check = place.run("check");
    assert_eq!(check.code, 1, "{}", check.stdout);
    assert!(
        check.stdout.contains("the secret `not/yet` is not set")
            && check.stdout.contains("farrier secret set not/yet")
            && !check.stdout.contains("db/web01` is not set"),
        "{}",
        check.stdout
    );
    assert_eq!(place.run("rebuild web01 --yes").code, 4);
    let set = place.run_with("secret set not/yet", "two\nlines\n");
    assert_eq!(set.code, 0, "{}", set.stderr);
    assert_eq!(place.run("check").code, 0);
    let listed = place.run("secret ls -o json").stdout;
    let list: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(list[0]["name"], "db/web01");
    assert_eq!(list[0]["systems"], serde_json::json!(["web01"]));
    for said in [&listed, &place.run("show web01").stdout, &set.stderr] {
        assert!(
            !said.contains(VALUE) && !said.contains("two\nlines"),
            "{said}"
        );
    }

    let kept = place.run("secret rm db/web01");
    assert_eq!(kept.code, 4, "{}", kept.stderr);
    assert!(kept.stderr.contains("`web01` refers to"), "{}", kept.stderr);
    assert_eq!(place.run("set web01 vars.db=").code, 0);
    let removed = place.run("secret rm db/web01");
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    let gone = place.run("secret rm not/yes");
    assert_eq!(gone.code, 3, "{}", gone.stderr);
    assert!(
        gone.stderr.contains("did you mean `not/yet`"),
        "{}",
        gone.stderr
    );
}

#[test]
fn what_cannot_be_a_secret_is_refused_and_not_repeated() {
    let place = Workplace::served();
    for (line, value, code, said) in [
        ("secret set a", "", 1, "the value is empty"),
        ("secret set a", "x\u{1b}y", 1, "control characters"),
        ("secret set ../a", VALUE, 64, "cannot be a secret's name"),
    ] {
        let run = place.run_with(line, value);
        assert_eq!(run.code, code, "{line}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{line}: {}", run.stderr);
        assert!(!run.stderr.contains(VALUE), "{}", run.stderr);
    }
    let long = place.run_with("secret set a", &"x".repeat(64 * 1024 + 1));
    assert_eq!(long.code, 1, "{}", long.stderr);
    assert!(long.stderr.contains("64 KiB"), "{}", long.stderr);
    let typed = place.run(&format!("secret set a {VALUE}"));
    assert_eq!(typed.code, 64, "no value is taken from the command line");
    assert_eq!(Workplace::new().run_with("secret set a", VALUE).code, 7);
}

/// On a host without the server's database nobody knows which secrets are set.
#[test]
fn a_check_elsewhere_says_what_it_cannot_know() {
    let place = Workplace::new();
    assert_eq!(place.run("set web01 vars.db={secret=\"db/web01\"}").code, 0);
    let check = place.run("check");
    assert_eq!(check.code, 0, "{}", check.stdout);
    assert!(
        check.stdout.contains("no database here"),
        "{}",
        check.stdout
    );
}
