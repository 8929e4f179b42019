//! What a distro's own boot program and a loader without http ask for.

use farrier::boot::Scope;
use farrier::model::{Content, Document, Module, Own, Start, Way};

use super::*;

fn document(name: &str, bytes: &[u8]) -> (String, Arc<Document>) {
    let document = Document {
        name: name.into(),
        content_type: "text/plain".into(),
        bytes: bytes.to_vec(),
        gzip: false,
        secret: false,
    };
    (name.to_string(), Arc::new(document))
}

/// Flags a machine that starts by a boot program of its distro's own.
fn flag_boot_program(door: &Door) {
    let key = door.waist.flag(1, planned(&door.kernel), Vec::new());
    let kernel = planned(&door.kernel);
    door.waist.repin(&key, |pinned| {
        pinned.way = Way {
            start: Start::Own,
            own: Some(Own {
                bios: Some(kernel.clone()),
                uefi: None,
                config: "boot.conf".into(),
                config_names: vec!["etc/boot.conf".into()],
                files: [("bsd.rd".to_string(), kernel)].into(),
                signed: true,
            }),
            ..Way::default()
        };
        pinned
            .documents
            .extend([document("boot.conf", b"boot bsd.rd\n")]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_program_gets_its_names_and_its_configuration_starts_it() {
    let door = open(Limits::default());
    flag_boot_program(&door);
    let (mine, other) = (Client::new(&door, ip(1)), Client::new(&door, ip(2)));
    for name in ["own/linux", "bsd.rd", "/bsd.rd"] {
        let fetched = mine.fetch(name, &["blksize", "1428"]).expect(name);
        assert_eq!(fetched.len(), 2_000_000, "{name}");
        assert_eq!(other.fetch(name, &[]), Err(1), "{name} of another machine");
    }
    assert_eq!(mine.fetch("etc/random.seed", &[]), Err(1));
    assert_eq!(mine.fetch("etc/passwd", &[]), Err(1));
    assert_eq!(door.waist.phase(1), Phase::Armed);
    assert_eq!(
        mine.fetch("etc/boot.conf", &[]).expect("it"),
        b"boot bsd.rd\n"
    );
    assert_eq!(
        door.waist.phase(1),
        Phase::Booting,
        "that is what starts it"
    );
    assert_eq!(door.waist.told(), ["script-served"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_not_sent_in_another_size_than_was_announced() {
    let door = open(Limits::default());
    flag_boot_program(&door);
    let anew = b"boot bsd.rd, from elsewhere\n";
    door.waist
        .repin_at_boot(move |pinned| pinned.documents.extend([document("boot.conf", anew)]));
    let fetch = || Client::new(&door, ip(1)).fetch("etc/boot.conf", &["tsize", "0"]);
    assert_eq!(fetch(), Err(0));
    assert_eq!(door.waist.phase(1), Phase::Armed, "it was not served");
    assert_eq!(fetch().as_deref(), Ok(&anew[..]));
    assert_eq!(door.waist.phase(1), Phase::Booting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_goes_to_a_loader_without_http_and_nothing_else_does() {
    let door = open(Limits::default());
    let key = door.waist.flag(1, planned(&door.kernel), Vec::new());
    door.waist.repin(&key, |pinned| {
        pinned.way.modules.push(Module {
            content: Content::Document {
                token: String::new(),
                name: "overlay.cpio".into(),
            },
            name: "overlay.cpio".into(),
            arguments: String::new(),
            path: None,
        });
        pinned
            .documents
            .extend([document("overlay.cpio", &[0xff, 0, 1])]);
    });
    let token = door.waist.token(&key, Scope::Read);
    let name = format!("b/{token}/overlay.cpio");
    // A port for each file, as loaders have: async-tftp ignores a request from one whose last it is
    // still ending.
    let fetch = |from, name: &str| Client::new(&door, ip(from)).fetch(name, &[]);
    assert_eq!(fetch(1, &name), Err(1), "nothing was started");
    fetch(1, &format!("grub/grub.cfg-01-{}", mac(1).dashed())).expect("its script");
    assert_eq!(fetch(1, &name).expect("it"), [0xff, 0, 1]);
    assert_eq!(fetch(2, &name), Err(1));
    let answers = name.replace("overlay.cpio", "preseed.cfg");
    assert_eq!(fetch(1, &answers), Err(1), "answers go by HTTP");
    let seen = door.waist.seen();
    assert!(!seen.iter().any(|(_, l)| l.contains(&token)), "{seen:?}");
    assert_eq!(door.waist.phase(1), Phase::Booting);
}
