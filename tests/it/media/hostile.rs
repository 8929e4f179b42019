//! Images that are cut, damaged, or made to do harm: each is refused with a sentence, or harmless.

use proptest::prelude::*;

use super::*;

const SECTOR: usize = 2048;

/// A record of a directory: name, sector, size, flags.
type Made<'a> = (&'a [u8], u32, u32, u8);

const DIRECTORY: u8 = 2;
const MORE: u8 = 0x80;

fn record((name, sector, size, flags): Made<'_>) -> Vec<u8> {
    let mut out = vec![0; 33];
    out[2..6].copy_from_slice(&sector.to_le_bytes());
    out[10..14].copy_from_slice(&size.to_le_bytes());
    out[25] = flags;
    out[32] = name.len() as u8;
    out.extend(name);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out[0] = out.len() as u8;
    out
}

/// An image of `sectors`, whose directories are made of these records: the root at sector 20, the
/// others from 21 on.
fn image(sectors: usize, root_size: u32, directories: &[&[Made<'_>]]) -> Vec<u8> {
    let mut image = vec![0; sectors * SECTOR];
    let primary = &mut image[16 * SECTOR..17 * SECTOR];
    primary[0] = 1;
    primary[1..6].copy_from_slice(b"CD001");
    primary[80..84].copy_from_slice(&(sectors as u32).to_le_bytes());
    primary[128..130].copy_from_slice(&2048u16.to_le_bytes());
    let root = record((&[0], 20, root_size, DIRECTORY));
    primary[156..156 + root.len()].copy_from_slice(&root);
    image[17 * SECTOR] = 255;
    image[17 * SECTOR + 1..17 * SECTOR + 6].copy_from_slice(b"CD001");
    for (i, records) in directories.iter().enumerate() {
        let mut at = (20 + i) * SECTOR;
        for one in records.iter().map(|r| record(*r)) {
            image[at..at + one.len()].copy_from_slice(&one);
            at += one.len();
        }
    }
    image
}

fn refused(bytes: &[u8]) -> String {
    tree(bytes).expect_err("refused").to_string()
}

#[test]
fn a_sound_one_is_read_and_a_file_in_several_records_is_one() {
    let sound = image(
        40,
        2048,
        &[&[
            (&[0], 20, 2048, DIRECTORY),
            (&[1], 20, 2048, DIRECTORY),
            (b"BIG.WIM;1", 30, 4096, MORE),
            (b"BIG.WIM;1", 32, 100, 0),
            (b"APART.BIN;1", 34, 2048, MORE),
            (b"APART.BIN;1", 37, 5, 0),
            (b"A.TXT;1", 38, 5, 0),
        ]],
    );
    let tree = tree(&sound).expect("sound");
    let big = tree.file("big.wim").expect("there");
    assert_eq!((big.len(), tree.size("big.wim")), (1, Some(4196)));
    assert_eq!(tree.file("apart.bin").map(<[_]>::len), Some(2));
    assert_eq!(tree.size("a.txt"), Some(5));
}

#[test]
fn each_trick_is_refused_with_its_sentence() {
    let own: Made<'_> = (&[0], 20, 2048, DIRECTORY);
    let one = |made: Made<'_>| image(40, 2048, &[&[own, made]]);
    for (bytes, sentence) in [
        (Vec::new(), "it is no ISO 9660 or UDF image: it has 0 bytes"),
        (vec![0; 100_000], "no volume descriptor"),
        (one((b"LOOP", 20, 2048, DIRECTORY)), "is within itself"),
        (
            image(
                40,
                2048,
                &[
                    &[own, (b"A", 21, 2048, DIRECTORY)],
                    &[(&[0], 21, 2048, DIRECTORY), (b"B", 20, 2048, DIRECTORY)],
                ],
            ),
            "`/a/b` is within itself",
        ),
        (one((b"..", 25, 1, 0)), "holds the name `.`, which is none"),
        (one((b"../../ETC/PASSWD", 25, 1, 0)), "holds the name"),
        (one((b"A\0B", 25, 1, 0)), "holds the name `a b`"),
        (
            one((b"FAR.BIN;1", 39, 4096, 0)),
            "it is cut off: `/far.bin` ends at byte 83968",
        ),
        (one((b"FAR.BIN;1", u32::MAX, u32::MAX, 0)), "it is cut off"),
        (
            one((b"FAR", 4000, 2048, DIRECTORY)),
            "it is cut off: the directory `/far`",
        ),
        (
            one((b"HUGE", 21, 1 << 26, DIRECTORY)),
            "the directory `/huge` has 67108864 bytes",
        ),
        (
            one((b"HUGE", 21, u32::MAX - 2047, DIRECTORY)),
            "its directories alone have more",
        ),
        (
            image(40, 2048, &[&[own]])[..30 * SECTOR].to_vec(),
            "it is cut off: its file system ends",
        ),
        (
            {
                let mut bytes = one((b"A.TXT;1", 25, 1, 0));
                // A record that ends within its own head.
                bytes[20 * SECTOR + 34] = 5;
                bytes
            },
            "has a record that cannot be read",
        ),
        (
            {
                let mut bytes = image(40, 2048, &[&[own, (b"README.TXT;1", 25, 1, 0)]]);
                bytes[18 * SECTOR + 1..18 * SECTOR + 6].copy_from_slice(b"NSR02");
                bytes
            },
            "it is cut off: the anchor of its UDF file system ends",
        ),
    ] {
        let said = refused(&bytes);
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn a_directory_without_end_is_refused_in_no_time() {
    // One directory in a thousand places, each with a thousand more.
    let names: Vec<Vec<u8>> = (0..50).map(|i| format!("D{i:02}").into_bytes()).collect();
    let many: Vec<Made<'_>> = names
        .iter()
        .map(|n| (n.as_slice(), 21, 2048, DIRECTORY))
        .collect();
    let begun = std::time::Instant::now();
    assert!(refused(&image(40, 2048, &[&many, &many])).contains("or in two places"));
    // Deeper and deeper, each in a sector of its own.
    let steps: Vec<Vec<Made<'_>>> = (0..60u32)
        .map(|i| vec![(&b"D"[..], 21 + i, 2048, DIRECTORY)])
        .collect();
    let steps: Vec<&[Made<'_>]> = steps.iter().map(Vec::as_slice).collect();
    assert!(refused(&image(100, 2048, &steps)).contains("directories deep"));
    assert!(begun.elapsed().as_secs() < 5);
}

/// A boot catalogue at sector 21 that names `times` the same EFI boot image at sector 22: one of FAT12,
/// 512 bytes a cluster, whose files all begin at the first of two clusters that follow each other for
/// ever.
fn bootable(times: usize, files: usize, size: u32) -> Vec<u8> {
    let own: Made<'_> = (&[0], 20, 2048, DIRECTORY);
    let mut bytes = image(60, 2048, &[&[own]]);
    let ends = bytes[17 * SECTOR..18 * SECTOR].to_vec();
    bytes[18 * SECTOR..19 * SECTOR].copy_from_slice(&ends);
    let record = &mut bytes[17 * SECTOR..18 * SECTOR];
    record[0] = 0;
    record[7..30].copy_from_slice(b"EL TORITO SPECIFICATION");
    record[71..75].copy_from_slice(&21u32.to_le_bytes());
    let catalogue = &mut bytes[21 * SECTOR..22 * SECTOR];
    catalogue[..2].copy_from_slice(&[1, 0xef]);
    catalogue[30..32].copy_from_slice(&[0x55, 0xaa]);
    let pairs = catalogue[..32].chunks_exact(2);
    let sum = pairs.fold(0u16, |sum, pair| {
        sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]))
    });
    catalogue[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    for entry in catalogue.chunks_exact_mut(32).skip(1).take(times) {
        entry[0] = 0x88;
        entry[8..12].copy_from_slice(&22u32.to_le_bytes());
    }
    let fat = &mut bytes[22 * SECTOR..];
    fat[11..13].copy_from_slice(&512u16.to_le_bytes());
    // clusters of one sector, one sector reserved, one table of one sector, 112 entries in the root
    (fat[13], fat[14], fat[16], fat[17], fat[22]) = (1, 1, 1, 112, 1);
    fat[19..21].copy_from_slice(&100u16.to_le_bytes());
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    // 12 bits each: 2 is followed by 4, 3 is free, 4 is followed by 2
    fat[512 + 3..512 + 9].copy_from_slice(&[4, 0, 0, 2, 0, 0]);
    for file in 0..files {
        let entry = &mut fat[1024 + file * 32..][..32];
        entry[..11].copy_from_slice(format!("FILE{file:04}EFI").as_bytes());
        entry[26..28].copy_from_slice(&2u16.to_le_bytes());
        entry[28..32].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}

#[test]
fn boot_images_have_one_limit_together() {
    let mib = 1 << 20;
    let read = tree(&bootable(2, 3, 10 * mib)).expect("as any medium's");
    let file = read.file("[efi]/file0000.efi");
    let file = file.or(read.file("[efi]/FILE0000.EFI")).expect("there");
    assert_eq!(file.len(), 2 * 10 * 1024, "every cluster by itself");
    // many files, and many images, of the same clusters
    for (times, files) in [(1, 100), (60, 1), (60, 100)] {
        let said = refused(&bootable(times, files, 250 * mib));
        assert!(
            said.contains("its boot images have files of more than 1048576 clusters"),
            "{said}"
        );
    }
    let said = refused(&bootable(60, 100, 512));
    assert!(said.contains("more than 2000 files"), "{said}");
}

/// A small medium with all that an image can have.
fn sample() -> Vec<u8> {
    let layout = Layout::new(&[
        (".disk/info", "Debian GNU/Linux 12.5.0"),
        ("install.amd/vmlinuz", "k"),
        ("a-rather-long-name/with.several.dots-and+signs.deb", "x"),
        ("a/b/c/d/e/f/g/h/i/j.txt", "deep"),
    ]);
    layout.link("dists/stable", "../a/b");
    let efi = layout.root().join("efi.img");
    run(Command::new("mkfs.vfat")
        .args(["-C", "-F12"])
        .arg(&efi)
        .arg("720"));
    run(Command::new("mmd").arg("-i").arg(&efi).arg("::/EFI"));
    let image = layout.image(&["-R", "-J", "-e", "efi.img", "-no-emul-boot"]);
    std::fs::read(image).expect("an image")
}

#[test]
fn whatever_is_spoilt_nothing_panics_or_hangs() {
    let sample = sample();
    assert!(tree(&sample).is_ok());
    for length in (0..sample.len()).step_by(SECTOR / 2) {
        let _sentence_or_tree = tree(&sample[..length]).is_ok();
    }
    // Descriptors, catalogue, directories, FAT: everything but the padding that xorriso leaves.
    let used = sample.iter().rposition(|b| *b != 0).expect("something") + 1;
    let spoils = proptest::collection::vec((32 * 1024..used, any::<u8>()), 1..24);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(3000));
    runner
        .run(&spoils, |spoils| {
            let mut bytes = sample.clone();
            for (at, byte) in &spoils {
                bytes[*at] = *byte;
            }
            if let Ok(tree) = tree(&bytes) {
                for path in tree.below("") {
                    let within = |e: &farrier::image::disc::Extent| {
                        e.size == 0 || e.offset + e.size <= bytes.len() as u64
                    };
                    prop_assert!(
                        tree.file(path).is_none_or(|f| f.iter().all(within)),
                        "{path}"
                    );
                    prop_assert!(
                        !path.split('/').any(|p| p == ".." || p.is_empty()),
                        "{path}"
                    );
                }
            }
            Ok(())
        })
        .expect("no way to spoil it");
}
