//! A distro's own shim and GRUB by HTTP boot.

use farrier::boot::paths::{Urls, pair_path};
use farrier::model::{Arch, Pair, Way};

use super::*;

#[tokio::test]
async fn shim_and_grub_that_came_by_http_find_the_rest_there() {
    let files = tempfile::tempdir().expect("a directory");
    let of = |name: &str, bytes: &[u8]| artefact(files.path(), "rocky-9", name, bytes);
    let old = [of("shimx64.efi", b"MZ shim"), of("grubx64.efi", b"MZ grub")];
    let [shim, grub] = old.each_ref().map(planned);
    let pair = Pair {
        arch: Arch::X64Uefi,
        shim,
        grub,
    };
    let newer = of("grubx64.efi", b"MZ a newer grub");
    let with = |mut all: Vec<Artefact>| {
        all.extend(old.clone());
        all.push(newer.clone());
        Standin::new(all)
    };
    let door = open_on(Limits::default(), with).await;
    let key = door.flag(1);
    door.waist.repin(&key, |pinned| {
        pinned.secure_boot = true;
        pinned.way = Way {
            pair: Some(pair.clone()),
            ..Way::default()
        };
    });
    let urls = Urls {
        server: "127.0.0.1:80".parse().expect("an address"),
    };
    let path = format!("/{}", pair_path(&pair));
    assert_eq!(urls.pair(&pair), format!("http://127.0.0.1{path}"));
    let (dir, _) = path.rsplit_once('/').expect("a directory");
    // the firmware looks first
    let head = door
        .ask(ip(1), &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert_eq!(head.header("Content-Type"), Some("application/efi"));
    assert_eq!(head.header("Content-Length"), Some("7"));
    assert_eq!(door.get(ip(1), &path).await.body, b"MZ shim");
    // shim puts the name of its GRUB in the place of its own, with a slash too many or not
    for grub in ["/grubx64.efi", "//grubx64.efi", "/grub.efi"] {
        let got = door.get(ip(1), &format!("{dir}{grub}")).await;
        assert_eq!(
            (got.status, got.body.as_slice()),
            (200, &b"MZ grub"[..]),
            "{grub}"
        );
    }
    for none in ["revocations.efi", "shim_certificate_0.efi", "mmx64.efi"] {
        assert_eq!(door.get(ip(1), &format!("{dir}/{none}")).await.status, 404);
    }
    // Red Hat's GRUB searches by address on TFTP only; by HTTP it asks for this
    for place in [
        &format!("{dir}/grub.cfg"),
        "/EFI/redhat/grub.cfg",
        "/grub/grub.cfg",
    ] {
        let generic = door.get(ip(1), place).await.text();
        let next = "configfile (http,127.0.0.1";
        assert!(generic.contains(next), "{place}: {generic}");
    }
    let own = format!("{dir}/grub.cfg-01-{}", mac(1).dashed());
    let script = door.get(ip(1), &own).await.text();
    assert!(script.contains("linux (http,127.0.0.1"), "{script}");
    assert_eq!(door.waist.phase(1), Phase::Booting);
}
