//! A distro's own shim and GRUB, asked for as they ask, and the configuration where each GRUB looks.

use farrier::boot::paths::pair_path;
use farrier::model::{Arch, Pair, Processor, Way};

use super::*;

const SHIM: &[u8] = b"MZ shim, before";
const GRUB: &[u8] = b"MZ grub, before";

/// A door with two versions of a distro's pair, and the pair of the earlier one.
fn with_pair(suffix: &str, arch: Arch) -> (Door, Pair) {
    let mut door = open(Limits::default());
    let names = [format!("shim{suffix}.efi"), format!("grub{suffix}.efi")];
    let of = |name: &str, bytes: &[u8]| artefact(door.dir.path(), "rocky-9", name, bytes);
    let old = [of(&names[0], SHIM), of(&names[1], GRUB)];
    let new = [
        of(&names[0], b"MZ shim, now"),
        of(&names[1], b"MZ grub, now"),
    ];
    let [shim, grub] = old.each_ref().map(planned);
    door.kernel.nature.processor = Some(match arch {
        Arch::Arm64Uefi => Processor::Arm64,
        _ => Processor::X86,
    });
    let all = old.into_iter().chain(new).chain([door.kernel.clone()]);
    if let Some(running) = door.running.take() {
        running.stop();
    }
    door.waist = Standin::new(all.collect());
    let sockets = tftp::bind("127.0.0.1:0".parse().expect("an address"), 2).expect("bound");
    let hot = Arc::new(Hot::new(16_000_000));
    let running = tftp::start(sockets, door.waist.clone(), hot, Limits::default());
    let running = running.expect("started");
    door.address = running.addresses()[0];
    door.running = Some(running);
    (door, Pair { arch, shim, grub })
}

fn flag(door: &Door, pair: &Pair) {
    let key = door.waist.flag(1, planned(&door.kernel), Vec::new());
    door.waist.repin(&key, |pinned| {
        pinned.secure_boot = true;
        pinned.way = Way {
            pair: Some(pair.clone()),
            ..Way::default()
        };
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn shim_finds_its_grub_beside_it_and_grub_its_configuration() {
    let (door, pair) = with_pair("x64", Arch::X64Uefi);
    flag(&door, &pair);
    // a port for each file, as loaders have: async-tftp ignores one whose last request it is still ending
    let fetch = |name: &str| Client::new(&door, ip(1)).fetch(name, &["blksize", "1468"]);
    let path = pair_path(&pair);
    let (dir, _) = path.rsplit_once('/').expect("a directory");
    // the firmware, then shim: its sources join the directory and `/grubx64.efi`, or `\grub.efi`
    assert_eq!(fetch(&path), Ok(SHIM.to_vec()));
    for none in [
        "revocations.efi",
        "revocations_sbat.efi",
        "shim_certificate_0.efi",
        "mmx64.efi",
    ] {
        assert_eq!(fetch(&format!("{dir}/{none}")), Err(1), "{none}");
    }
    for grub in ["/grubx64.efi", "//grubx64.efi", "/grub.efi"] {
        assert_eq!(fetch(&format!("{dir}{grub}")), Ok(GRUB.to_vec()), "{grub}");
    }
    // Red Hat's GRUB: by the machine's identifier, by its address, before any other place
    let uuid = "4c4c4544-0042-3510-8052-b4c04f4a4e31";
    let own = |name: &str| format!("/{dir}/{name}");
    assert_eq!(fetch(&own(&format!("grub.cfg-{uuid}"))), Err(1));
    assert_eq!(door.waist.phase(1), Phase::Armed);
    let script = fetch(&own(&format!("grub.cfg-01-{}", mac(1).dashed())));
    let script = String::from_utf8(script.expect("a script")).expect("text");
    assert!(script.contains("linux (tftp,127.0.0.1)/a/"), "{script}");
    assert_eq!(door.waist.phase(1), Phase::Booting);
    // and wherever else one was built to look, it is the same
    for place in [
        "EFI/redhat/grub.cfg",
        "EFI/BOOT/grub.cfg",
        "boot/grub2/grub.cfg",
        "grub/grub.cfg",
        "debian-installer/amd64/grub/grub.cfg",
        "grub.cfg-7F00000B",
        &own("grub.cfg"),
    ] {
        let generic = fetch(place).expect(place);
        let generic = String::from_utf8(generic).expect("text");
        assert!(
            generic.contains("grub.cfg-$net_default_mac"),
            "{place}: {generic}"
        );
    }
    let foreign = own(&format!("grub.cfg-01-{}", mac(2).dashed()));
    assert_eq!(fetch(&foreign), Err(1), "another machine's");
}

/// What it runs on, a GRUB does not say.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_for_arm_boots_a_kernel_for_arm() {
    let (door, pair) = with_pair("aa64", Arch::Arm64Uefi);
    flag(&door, &pair);
    // a port for each file, as loaders have: async-tftp ignores one whose last request it is still ending
    let fetch = |name: &str| Client::new(&door, ip(1)).fetch(name, &["blksize", "1468"]);
    let path = pair_path(&pair);
    let (dir, _) = path.rsplit_once('/').expect("a directory");
    assert_eq!(fetch(&path), Ok(SHIM.to_vec()));
    for grub in ["grubaa64.efi", "grub.efi"] {
        let got = fetch(&format!("{dir}/{grub}"));
        assert_eq!(got, Ok(GRUB.to_vec()), "{grub}");
    }
    assert_eq!(fetch(&format!("{dir}/shimx64.efi")), Err(1));
    let script = fetch(&format!("{dir}/grub.cfg-01-{}", mac(1).dashed()));
    let script = String::from_utf8(script.expect("a script")).expect("text");
    assert!(script.contains("linux (tftp,127.0.0.1)/a/"), "{script}");
}
