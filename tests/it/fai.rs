//! The builder `fai`, for real: minutes, hundreds of megabytes from this host's mirror, as root.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use farrier::artefacts::{Outcome, Progress, Renew, Shelf, Step};
use farrier::cli::demo::rack::tools;
use farrier::model::{ArtefactSource, Distro, DistroWay};

use crate::rack::can_run;

fn distro() -> Distro {
    let built = || ArtefactSource::Built {
        builder: "fai".into(),
    };
    let names = ["vmlinuz", "initrd.img", "squash.img"];
    Distro {
        name: "fai-6".parse().expect("a name"),
        artefacts: names.map(|n| (n.to_string(), built())).into(),
        kernel: "vmlinuz".into(),
        kernel_uefi: None,
        initrds: vec!["initrd.img".into()],
        mirror: None,
        way: DistroWay::default(),
    }
}

#[test]
/// `FARRIER_STATE` keeps the result.
fn a_boot_tree_is_built_resumed_and_leaves_nothing_else_behind() {
    if !can_run("FAI's boot tree", &[tools::FAI], true) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a directory");
    let state = std::env::var_os("FARRIER_STATE").map_or(scratch.path().to_path_buf(), Into::into);
    let shelf = Shelf::open(&state);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let steps = Arc::new(Mutex::new(Vec::new()));
    let heard = steps.clone();
    let report: farrier::artefacts::Report = Arc::new(move |p: Progress| {
        if p.step == Step::Building {
            heard
                .lock()
                .expect("a list")
                .push((std::time::Instant::now(), p.done));
        }
    });
    // given up in the midst of the first step, then begun again
    let early = runtime.block_on(async {
        let distro = distro();
        let fetch = shelf.fetch(&distro, Path::new("/"), Renew::All, &report);
        tokio::time::timeout(std::time::Duration::from_secs(12), fetch).await
    });
    assert!(early.is_err(), "it cannot be that fast");
    let work = state.join("artefacts/fai-6/work");
    assert!(
        !work.join("stage-fai/tmp").exists(),
        "what was half done is gone"
    );
    let begun = std::time::Instant::now();
    let made = runtime
        .block_on(shelf.fetch(&distro(), Path::new("/"), Renew::All, &report))
        .expect("built");
    for (name, outcome) in &made {
        let Outcome::Fetched(record) = outcome else {
            panic!("{name} was not made")
        };
        println!("{name}: {} bytes", record.size);
    }
    println!(
        "{:?}",
        steps
            .lock()
            .expect("a list")
            .iter()
            .map(|(at, n)| (at.saturating_duration_since(begun), n))
            .collect::<Vec<_>>()
    );
    assert!(!work.join("stage-fai").exists());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(
        !mounts.contains(&*state.to_string_lossy()),
        "nothing stays mounted"
    );
}
