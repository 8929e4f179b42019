//! Each layout that is recognised, and each way an image names its files.

use farrier::image::disc::media::Var;

use super::*;

const ROCK_RIDGE: &[&str] = &["-R", "-J", "-V", "LABEL 1.2"];

/// Files, and what is made of them: name, kernel, initrd, further artefacts.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const TREEINFO: &str = "[general]\nfamily = Rocky Linux\nversion = 9.4\narch = x86_64\nvariant = BaseOS\n\
    [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
// as productmd writes it on a DVD
const RHEL: &str = "[general]\n; WARNING.0 = made up\narch = x86_64\nfamily = Red Hat Enterprise Linux\n\
    name = Red Hat Enterprise Linux 8.10.0\nvariant = AppStream\nvariants = AppStream,BaseOS\nversion = 8.10\n\
    [header]\ntype = productmd.treeinfo\nversion = 1.2\n[images-x86_64]\nboot.iso = images/boot.iso\n\
    kernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n[release]\n\
    name = Red Hat Enterprise Linux\nshort = RHEL\nversion = 8.10.0\n";
const ALMA: &str = "[general]\nfamily = AlmaLinux\nname = AlmaLinux 10\nversion = 10\narch = x86_64\n\
    variant = AppStream\n[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
const CENTOS: &str = "[general]\nfamily = CentOS Stream\nname = CentOS Stream 8\nversion = 8\narch = x86_64\n\
    variant = BaseOS\n[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
const FEDORA: &str = "[general]\nfamily = Fedora\nversion = 42\narch = x86_64\nvariant = Server\n\
    [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";

const CASES: &[Case] = &[
    (
        &[
            (".treeinfo", TREEINFO),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
            ("images/install.img", "s"),
            ("BaseOS/repodata/repomd.xml", "<r/>"),
            ("EFI/BOOT/BOOTX64.EFI", "shim"),
            ("EFI/BOOT/grubx64.efi", "grub"),
        ],
        "rocky-9.4",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        &["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi"],
    ),
    (
        &[
            (".treeinfo", RHEL),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
        ],
        "rhel-8.10",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        &[],
    ),
    (
        &[
            (".treeinfo", ALMA),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
        ],
        "alma-10",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        &[],
    ),
    (
        &[
            (".treeinfo", CENTOS),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
        ],
        "centos-stream-8",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        &[],
    ),
    (
        &[
            (".treeinfo", FEDORA),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
        ],
        "fedora-42-server",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        &[],
    ),
    (
        &[
            ("coreos/igninfo.json", "{}"),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
            ("images/pxeboot/rootfs.img", "r"),
        ],
        "label-1.2",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        &["images/pxeboot/rootfs.img"],
    ),
    (
        &[
            (
                ".disk/info",
                "Ubuntu-Server 24.04.1 LTS \"Noble Numbat\" - Release amd64 (20240827)",
            ),
            ("casper/vmlinuz", "k"),
            ("casper/initrd", "i"),
            ("EFI/boot/bootx64.efi", "shim"),
            ("EFI/boot/grubx64.efi", "grub"),
        ],
        "ubuntu-24.04.1",
        "casper/vmlinuz",
        "casper/initrd",
        &["EFI/boot/bootx64.efi", "EFI/boot/grubx64.efi"],
    ),
    (
        &[
            (
                ".disk/info",
                "Debian GNU/Linux 12.5.0 \"Bookworm\" - Official amd64 NETINST",
            ),
            ("install.amd/vmlinuz", "k"),
            ("install.amd/initrd.gz", "i"),
            ("dists/bookworm/Release", "R"),
        ],
        "debian-12.5.0-media",
        "install.amd/vmlinuz",
        "install.amd/initrd.gz",
        &[],
    ),
    (
        &[
            ("boot/x86_64/loader/linux", "k"),
            ("boot/x86_64/loader/initrd", "i"),
            ("media.1/products", "/ openSUSE-Leap 15.6-1\n"),
            ("EFI/BOOT/bootx64.efi", "shim"),
            ("EFI/BOOT/grub.efi", "grub"),
            ("EFI/BOOT/MokManager.efi", "mok"),
        ],
        "opensuse-leap",
        "boot/x86_64/loader/linux",
        "boot/x86_64/loader/initrd",
        &["EFI/BOOT/bootx64.efi", "EFI/BOOT/grub.efi"],
    ),
    (
        &[
            ("boot/x86_64/loader/linux", "k"),
            ("boot/x86_64/loader/initrd", "i"),
            ("LiveOS/squashfs.img", "s"),
        ],
        "label-1.2",
        "boot/x86_64/loader/linux",
        "boot/x86_64/loader/initrd",
        &["LiveOS/squashfs.img"],
    ),
    (
        &[
            (".cd-info", "PRODUCT='pve'\nRELEASE='8.2'\nISORELEASE='1'\n"),
            ("boot/linux26", "k"),
            ("boot/initrd.img", "i"),
        ],
        "pve-8.2-1",
        "boot/linux26",
        "boot/initrd.img",
        &[],
    ),
    (
        &[
            (".alpine-release", "alpine-standard-3.20.3 240906"),
            ("boot/vmlinuz-lts", "k"),
            ("boot/initramfs-lts", "i"),
            ("boot/modloop-lts", "m"),
        ],
        "alpine-3.20.3",
        "boot/vmlinuz-lts",
        "boot/initramfs-lts",
        &["boot/modloop-lts"],
    ),
    (
        &[
            (
                "BOOT.CFG",
                "build=7.0.3-0.105.2\nkernel=/b.b00\nmodules=/jumpstrt.gz --- /useropts.gz\n",
            ),
            ("B.B00", "b"),
            ("JUMPSTRT.GZ", "j"),
            ("MBOOT.C32", "m"),
            ("EFI/BOOT/BOOTX64.EFI", "e"),
            ("EFI/BOOT/CRYPTO64.EFI", "c"),
        ],
        "esxi-7.0.3",
        "EFI/BOOT/BOOTX64.EFI",
        "",
        &["B.B00", "JUMPSTRT.GZ", "EFI/BOOT/CRYPTO64.EFI"],
    ),
    (
        &[
            ("platform/i86pc/kernel/amd64/unix", "u"),
            ("platform/i86pc/amd64/boot_archive", "a"),
            ("platform/i86pc/amd64/boot_archive.hash", "h"),
            ("boot/loader.conf", "loader_logo=\"SmartOS\"\n"),
        ],
        "smartos-label-1.2",
        "platform/i86pc/kernel/amd64/unix",
        "",
        &[
            "platform/i86pc/amd64/boot_archive",
            "platform/i86pc/amd64/boot_archive.hash",
        ],
    ),
    (
        &[
            ("boot/kernel/kernel", "k"),
            ("boot/loader.efi", "l"),
            ("boot/pxeboot", "p"),
            ("usr/freebsd-dist/MANIFEST", "m"),
            ("usr/freebsd-dist/base.txz", "b"),
            ("usr/freebsd-dist/kernel.txz", "k"),
        ],
        "freebsd-1.2",
        // memdisk starts it, which is not on it
        "",
        "",
        &["usr/freebsd-dist/base.txz", "usr/freebsd-dist/kernel.txz"],
    ),
    (
        &[
            ("7.5/amd64/bsd.rd", "b"),
            ("7.5/amd64/pxeboot", "p"),
            ("7.5/amd64/BOOTX64.EFI", "e"),
        ],
        "openbsd-7.5",
        "7.5/amd64/bsd.rd",
        "",
        &["7.5/amd64/pxeboot", "7.5/amd64/BOOTX64.EFI"],
    ),
];

#[test]
fn each_layout_is_recognised_and_says_what_boots() {
    for (files, name, kernel, initrd, more) in CASES {
        let layout = Layout::new(files);
        let image = layout.image(ROCK_RIDGE);
        let found = found(&image);
        let medium = found.medium.expect(name);
        assert_eq!(medium.name, *name, "{}", medium.title);
        let path = |p: &farrier::image::disc::media::Part| p.path.clone();
        assert_eq!(
            medium.kernel.as_ref().map(path).as_deref(),
            Some(*kernel).filter(|kernel| !kernel.is_empty()),
            "{name}"
        );
        let initrds: Vec<String> = medium.initrds.iter().map(path).collect();
        let wanted: Vec<&str> = [*initrd].into_iter().filter(|i| !i.is_empty()).collect();
        assert_eq!(initrds, wanted, "{name}");
        let uefi = medium.kernel_uefi.iter().map(path);
        let rest: Vec<String> = uefi.chain(medium.more.iter().map(path)).collect();
        assert_eq!(rest, *more, "{name}");
        let memory = match *name {
            "ubuntu-24.04.1" => Some(5 << 30),
            _ if more.contains(&"images/pxeboot/rootfs.img") => Some(4 << 30),
            name if name.starts_with("pve") => Some(8 << 30),
            _ => None,
        };
        assert_eq!(medium.way.memory, memory, "{name}");
        for part in medium.parts() {
            assert!(found.tree.has(&part.path), "{name}: {part:?}");
            assert!(part.name.len() > 3 && !part.name.contains('/'), "{part:?}");
        }
    }
}

#[test]
fn what_no_one_knows_is_no_medium_and_windows_needs_a_boot_program() {
    let layout = Layout::new(&[("README.TXT", "hello"), ("data/x", "x")]);
    assert_eq!(found(&layout.image(ROCK_RIDGE)).medium, None);
    let layout = Layout::new(&[
        ("bootmgr", "b"),
        ("boot/BCD", "c"),
        ("boot/boot.sdi", "s"),
        ("sources/boot.wim", "w"),
        ("sources/install.wim", "i"),
        ("setup.exe", "s"),
    ]);
    let medium = found(&layout.image(ROCK_RIDGE)).medium.expect("Windows");
    assert_eq!(
        (medium.name.as_str(), medium.kernel.clone()),
        ("windows-label-1.2", None)
    );
    let names: Vec<&str> = medium.more.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        ["bcd", "boot.sdi", "boot.wim", "bootmgr", "install.wim"]
    );
    // another system of illumos has the same files
    let layout = Layout::new(&[
        ("platform/i86pc/kernel/amd64/unix", "u"),
        ("platform/i86pc/amd64/boot_archive", "a"),
    ]);
    assert_eq!(found(&layout.image(ROCK_RIDGE)).medium, None);
}

#[test]
fn what_a_medium_cannot_give_is_said() {
    for (files, said, unsaid) in [
        (
            &[
                (".alpine-release", "3.22.1"),
                ("boot/vmlinuz-virt", "k"),
                ("boot/initramfs-virt", "i"),
                ("apks/x86_64/linux-lts-6.12.38-r0.apk", "k"),
                ("apks/x86_64/grub-efi-2.12-r5.apk", "g"),
                ("apks/x86_64/openssh-server-10.0-r7.apk", "not openssh"),
            ][..],
            &[
                "give it with --with initramfs-virt",
                "(openssh, kbd-bkeymaps, sfdisk, e2fsprogs, syslinux, dosfstools)",
            ][..],
            "linux-lts,",
        ),
        (
            &[("7.8/amd64/bsd.rd", "b")],
            &["no pxeboot", "no bootx64.efi", "no sets", "site78.tgz"],
            "url.tree",
        ),
        (
            &[("boot/kernel/kernel", "k"), ("bin/freebsd-version", "v")],
            &["lacks base.txz or kernel.txz", "mfsbsd.iso"],
            "url.tree",
        ),
        (
            &[
                (".cd-info", "PRODUCT='pve'\n"),
                ("boot/linux26", "k"),
                ("boot/initrd.img", "i"),
            ],
            &["no auto-installer-mode.toml", "8 GiB"],
            "4 GiB",
        ),
    ] {
        let layout = Layout::new(files);
        let medium = found(&layout.image(ROCK_RIDGE)).medium.expect("known");
        let notes = medium.notes.join("\n");
        for part in said {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(!notes.contains(unsaid), "{unsaid}: {notes}");
    }
}

#[test]
fn an_esxi_with_too_many_modules_is_refused_and_one_named_twice_is_told() {
    let with = |modules: &str| {
        let text = format!("build=8.0.1-1\nkernel=/b.b00\nmodules={modules}\n");
        let files = [
            ("BOOT.CFG", text.as_str()),
            ("B.B00", "b"),
            ("X/Y.V00", "y"),
            ("Y.V00", "y"),
            ("EFI/BOOT/BOOTX64.EFI", "e"),
        ];
        inspect(&Layout::new(&files).image(ROCK_RIDGE))
    };
    let medium = with("/y.v00 --- /x/y.v00 --- /../etc/shadow");
    let medium = medium.expect("a medium").medium.expect("ESXi");
    assert_eq!(
        medium.vars["modules"],
        Var::List(
            ["b.b00", "y.v00", "y.v00", "shadow"]
                .map(str::to_string)
                .into()
        )
    );
    assert_eq!(medium.more.len(), 2, "{medium:?}");
    assert!(medium.notes[0].starts_with("2 modules"), "{medium:?}");
    let many: Vec<String> = (0..500).map(|n| format!("/m{n}.v00")).collect();
    let told = with(&many.join(" --- ")).expect_err("too many");
    assert!(format!("{told:?}").contains("more than 400"), "{told:?}");
}

#[test]
fn files_are_found_by_the_names_of_every_kind_of_image() {
    let long = format!("pool/{}-1.0+b1_amd64.deb", "l".repeat(90));
    let deep = "a/b/c/d/e/f/g/h/i/j/k/deep.txt";
    let layout = Layout::new(&[
        ("plain.txt", "plain"),
        ("empty", ""),
        (long.as_str(), "long"),
        (deep, "deep"),
        ("dists/bookworm/Release", "release"),
    ]);
    layout.link("dists/stable", "bookworm");
    layout.link("self", ".");
    layout.link("pool/up.txt", "../dists/stable/../../plain.txt");
    layout.link("round", "trip");
    layout.link("trip", "round");
    layout.link("secret", "/etc/shadow");
    layout.link("dists/out", "../../etc/shadow");

    // Rock Ridge: names as they were, links, directories that lie elsewhere.
    for words in [
        &["-R"][..],
        &["-R", "-J"],
        &["-R", "-J", "-joliet-long", "-iso-level", "3"],
    ] {
        let image = layout.image(words);
        let tree = found(&image).tree;
        assert_eq!(read(&image, &tree, &long), "long");
        assert_eq!(read(&image, &tree, deep), "deep");
        assert_eq!(read(&image, &tree, "empty"), "");
        assert_eq!(read(&image, &tree, "/dists//stable/./Release"), "release");
        assert_eq!(read(&image, &tree, "self/self/plain.txt"), "plain");
        assert_eq!(read(&image, &tree, "pool/up.txt"), "plain");
        assert_eq!(
            tree.real("dists/stable/Release"),
            Some("dists/bookworm/Release")
        );
        for nothing in [
            "PLAIN.TXT",
            "round",
            "dists",
            "dists/stable",
            "secret",
            "",
            "x",
            "plain.txt/x",
        ] {
            assert_eq!(tree.file(nothing), None, "{nothing}");
        }
        let left_out = tree.left_out().join("\n");
        assert!(
            left_out.contains("`/secret` is a link to `/etc/shadow`, which is outside"),
            "{left_out}"
        );
        assert!(left_out.contains("`/dists/out` is a link to"), "{left_out}");
    }

    // Joliet alone: long names, of which the case does not matter.
    let shallow = Layout::new(&[("Some Long Name.txt", "long"), ("dir/b.b00", "b")]);
    let image = shallow.image(&["--norock", "-J"]);
    let tree = found(&image).tree;
    assert_eq!(read(&image, &tree, "some long name.TXT"), "long");

    // Neither: 8.3, in lower case as Linux shows them.
    let image = shallow.image(&["--norock", "-iso-level", "1"]);
    let tree = found(&image).tree;
    assert_eq!(read(&image, &tree, "dir/b.b00"), "b");
    assert_eq!(read(&image, &tree, "DIR/B.B00"), "b");
}

#[test]
fn loaders_are_found_in_the_efi_boot_image_too() {
    for (size, format) in [("1440", "-F12"), ("20000", "-F16"), ("70000", "-F32")] {
        let layout = Layout::new(&[
            ("coreos/igninfo.json", "{}"),
            ("images/pxeboot/vmlinuz", "k"),
            ("images/pxeboot/initrd.img", "i"),
            ("images/pxeboot/rootfs.img", "r"),
        ]);
        let efi = layout.root().join("images/efiboot.img");
        run(Command::new("mkfs.vfat")
            .args(["-C", format])
            .arg(&efi)
            .arg(size));
        let shim = layout.dir.path().join("BOOTX64.EFI");
        let text = "shim ".repeat(5000);
        std::fs::write(&shim, &text).expect("a file");
        std::fs::write(layout.dir.path().join("grubx64.efi"), "grub").expect("a file");
        run(Command::new("mmd")
            .arg("-i")
            .arg(&efi)
            .args(["::/EFI", "::/EFI/BOOT"]));
        run(Command::new("mcopy")
            .arg("-i")
            .arg(&efi)
            .arg(&shim)
            .arg(layout.dir.path().join("grubx64.efi"))
            .arg("::/EFI/BOOT/"));
        let image = layout.image(&["-R", "-e", "images/efiboot.img", "-no-emul-boot"]);
        let found = found(&image);
        let medium = found.medium.expect("CoreOS");
        let pair: Vec<(&str, &str)> = medium.more[1..]
            .iter()
            .map(|p| (p.name.as_str(), p.path.as_str()))
            .collect();
        assert_eq!(
            pair,
            [
                ("shimx64.efi", "[efi]/EFI/BOOT/BOOTX64.EFI"),
                ("grubx64.efi", "[efi]/EFI/BOOT/grubx64.efi"),
            ],
            "{format}"
        );
        assert_eq!(
            read(&image, &found.tree, "[efi]/EFI/BOOT/BOOTX64.EFI"),
            text
        );
        assert_eq!(
            read(&image, &found.tree, "[efi]/EFI/BOOT/grubx64.efi"),
            "grub"
        );
    }
}
