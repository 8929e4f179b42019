//! Loading a site from its files: what comes into force, and what is kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Clock, Control, Options};
use crate::model::{Code, Refusal, Timestamp};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            dir: tempfile::tempdir().expect("a directory"),
        };
        place.write(
            "boot/d.toml",
            "kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n",
        );
        place.write(
            "profiles/p/profile.toml",
            "kind = \"live\"\ndistro = \"d\"\ncmdline = \"role={{ vars.role }}\"\n",
        );
        place.write("systems.toml", &systems(&["web01"]));
        place
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.site().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    async fn open(&self) -> (Arc<Control>, Result<(), Refusal>) {
        let clock: Clock = Arc::new(Timestamp::now);
        let control = Control::open(Options {
            site: self.site(),
            state: self.dir.path().join("state"),
            clock,
        });
        let control = control.await.expect("open");
        let loaded = control.load().await.map(drop);
        (control, loaded)
    }
}

fn systems(names: &[&str]) -> String {
    let entry = |(number, name): (usize, &&str)| {
        let [_, _, a, b] = u32::try_from(number).expect("few").to_be_bytes();
        format!(
            "[system.{name}]\nmac = \"52:54:00:00:{a:02x}:{b:02x}\"\nprofile = \"p\"\nvars.role = \"web\"\n"
        )
    };
    names.iter().enumerate().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_systems_file_that_vanished_is_refused_live_and_at_a_start() {
    let place = Place::new();
    let (control, loaded) = place.open().await;
    loaded.expect("sound");
    let file = place.site().join("systems.toml");
    std::fs::remove_file(&file).expect("removed");
    for round in ["live", "after a start"] {
        let control = match round {
            "live" => control.clone(),
            _ => place.open().await.0,
        };
        let refusal = control.reload("files").await.expect_err(round);
        assert_eq!(refusal.code, Code::Invalid, "{round}");
        assert!(
            refusal.message.contains("`systems.toml` is gone"),
            "{round}: {refusal}"
        );
        assert!(refusal.help.is_some(), "{round}");
        assert_eq!(
            control.site().systems.len(),
            1,
            "{round}: what was in force stays"
        );
    }
    // An empty one says that it is meant.
    std::fs::write(&file, "").expect("written");
    control.reload("files").await.expect("sound");
    assert_eq!(control.site().systems.len(), 0);
    std::fs::remove_file(&file).expect("removed");
    control
        .reload("files")
        .await
        .expect("nothing is lost by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_are_known_when_the_last_good_revision_is_in_force() {
    let place = Place::new();
    let (_, loaded) = place.open().await;
    loaded.expect("sound");
    place.write("systems.toml", "[system.web01]\ncolour = 1\n");
    let (control, loaded) = place.open().await;
    assert_eq!(loaded.expect_err("wrong files").code, Code::Invalid);
    let origins = control.origins("web01").await.expect("a system");
    let mac = origins.iter().find(|o| o.key == "mac").expect("a value");
    assert_eq!(mac.file.as_deref(), Some("systems.toml"));
    assert_eq!(mac.line, Some(2));
    assert_eq!(mac.layer, "system");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_force_when_is_remembered() {
    let place = Place::new();
    let (control, loaded) = place.open().await;
    loaded.expect("sound");
    let first = control.site().revision.to_string();
    let between = Timestamp::now();
    for names in [&["web01", "web02"][..], &["web01"][..]] {
        place.write("systems.toml", &systems(names));
        control.reload("files").await.expect("sound");
    }
    // A restart puts nothing new in force.
    let (control, loaded) = place.open().await;
    loaded.expect("sound");
    let history = control.revisions().await.expect("a history");
    let live: Vec<bool> = history.iter().map(|r| r.live).collect();
    assert_eq!(live, [true, false, false], "only the last time is now");
    assert_eq!(history[0].revision, first);
    assert_ne!(history[1].revision, first);
    assert_eq!(history[2].revision, first);
    assert_eq!(history[1].summary, "systems.toml changed");
    let then = control
        .revision(&between.to_string())
        .await
        .expect("in force");
    assert_eq!(then.revision, first);
    let refused = |which: &'static str| {
        let control = control.clone();
        async move { control.revision(which).await.expect_err(which) }
    };
    let early = refused("2001-01-01T00:00:00Z").await;
    assert_eq!(early.code, Code::NotFound, "{early}");
    let none = refused("ffff").await;
    assert_eq!(none.help.as_deref(), Some("farrier revision ls"));
    assert_eq!(refused("web01#7").await.code, Code::NotFound);
    assert_eq!(refused("web01#x").await.code, Code::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_large_site_is_rendered_after_it_is_in_force() {
    let place = Place::new();
    let names: Vec<String> = (0..2_003).map(|n| format!("n{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = systems(&names).replace(
        "[system.n2002]\nmac = \"52:54:00:00:07:d2\"\nprofile = \"p\"\nvars.role = \"web\"\n",
        "[system.n2002]\nmac = \"52:54:00:00:07:d2\"\nprofile = \"p\"\n",
    );
    assert!(text.len() < systems(&names).len(), "one has no role");
    place.write("systems.toml", &text);
    let (control, loaded) = place.open().await;
    loaded.expect("sound");
    assert_eq!(control.status().unrendered, 3);
    let broken = |control: &Control| control.site().systems["n2002"].broken.clone();
    assert_eq!(broken(&control), None, "it was not looked at yet");
    // An edit meanwhile forgets none of them.
    place.write(
        "systems.toml",
        &text.replacen("role = \"web\"", "role = \"db\"", 1),
    );
    control.reload("files").await.expect("sound");
    assert_eq!(control.status().unrendered, 3);
    while control.render_portion(None).await {}
    assert_eq!(control.status().unrendered, 0);
    let problem = broken(&control).expect("it does not render");
    assert!(problem.contains("role"), "{problem}");
    let report = control.reload("files").await.expect("the same");
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
}
