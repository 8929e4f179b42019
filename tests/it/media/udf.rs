//! UDF: images by other programs, images made here for what those do not make, and images made to do
//! harm.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECTOR: usize = 2048;

fn windows() -> Layout {
    let layout = Layout::new(&[
        ("bootmgr", "manager"),
        ("setup.exe", "setup"),
        ("boot/bcd", "c"),
        ("boot/boot.sdi", "s"),
        ("empty", ""),
        ("sources/日本 é.txt", "names"),
        ("efi/microsoft/boot/cdboot.efi", "cd"),
    ]);
    layout.put("sources/boot.wim", &vec![b'w'; 70_000]);
    layout.put("sources/install.wim", &vec![b'i'; 1 << 20]);
    layout
}

#[test]
fn the_udf_of_a_medium_with_no_more_than_a_note_in_iso_9660_is_read() {
    let layout = windows();
    layout.put("readme.txt", b"see the other file system");
    let image = layout.udf(&["-V", "CCCOMA_X64", "-hide", "*"]);
    let found = found(&image);
    let medium = found.medium.expect("Windows");
    assert_eq!(medium.title, "Windows, CCCOMA_X64");
    let tree = found.tree;
    assert_eq!(read(&image, &tree, "bootmgr"), "manager");
    assert_eq!(read(&image, &tree, "EFI/Microsoft/boot/CDBOOT.EFI"), "cd");
    assert_eq!(read(&image, &tree, "empty"), "");
    assert_eq!(read(&image, &tree, "sources/boot.wim"), "w".repeat(70_000));
    assert_eq!(tree.size("sources/install.wim"), Some(1 << 20));
    assert_eq!(tree.file("sources"), None);
    assert_eq!(tree.left_out(), Vec::<String>::new());
    let names: Vec<&str> = tree.below("sources/").collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"sources/日本 é.txt"), "{names:?}");
}

#[test]
fn with_the_same_in_both_the_iso_9660_side_is_read_and_has_its_links() {
    let layout = windows();
    layout.link("link", "bootmgr");
    let image = layout.udf(&["-R", "-V", "BOTH"]);
    let tree = found(&image).tree;
    assert_eq!(read(&image, &tree, "link"), "manager");
}

#[test]
fn an_image_with_nothing_but_udf_is_one() {
    let made = |words: &[&str]| {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("made.img");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(16 << 20).expect("a size");
        run(Command::new("mkudffs")
            .args(["--utf8", "--label=NOTHING"])
            .args(words)
            .arg(&image));
        inspect(&image)
    };
    for revision in ["0x0102", "0x0150", "0x0200", "0x0201"] {
        let revision = format!("--udfrev={revision}");
        let found = made(&["--blocksize=2048", "--media-type=dvd", &revision]);
        let found = found.expect("a file system");
        assert_eq!(found.tree.label(), "NOTHING", "{revision}");
        assert_eq!(found.medium, None);
        assert!(found.tree.count() <= 1, "lost+found at most");
    }
    // one that is written once, and one whose blocks are not those of a disc
    let told = made(&["--blocksize=2048", "--media-type=bdr", "--udfrev=0x0260"]);
    let told = format!("{:?}", told.expect_err("refused"));
    assert!(told.contains("UDF Virtual Partition"), "{told}");
    let told = made(&["--blocksize=512", "--media-type=hd"]);
    assert!(told.is_err());
}

/// CRC-16 of ITU-T V.41, a bit at a time.
fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 8;
        for _ in 0..8 {
            crc = match crc & 0x8000 {
                0 => crc << 1,
                _ => (crc << 1) ^ 0x1021,
            };
        }
        crc &= 0xffff;
    }
    crc as u16
}

/// Writes a tag before what stands at `at`, of so many bytes.
fn seal(image: &mut [u8], at: usize, id: u16, location: u32, length: usize) {
    let sum = crc(&image[at + 16..at + length]);
    let head = &mut image[at..at + 16];
    head.fill(0);
    head[0..2].copy_from_slice(&id.to_le_bytes());
    head[2] = 2;
    head[8..10].copy_from_slice(&sum.to_le_bytes());
    head[10..12].copy_from_slice(&((length - 16) as u16).to_le_bytes());
    head[12..16].copy_from_slice(&location.to_le_bytes());
    head[4] = head.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
}

/// Where the partition of images made here begins, and how many sectors they have.
const START: u32 = 300;
const SECTORS: u32 = 600;

/// A UDF image under construction. Blocks are of the partition; with `metadata` the file set and what is
/// reached by it are in a metadata partition, whose block 0 is block 100 of the other.
struct Made {
    image: Vec<u8>,
    metadata: bool,
}

/// How an entry says where its bytes are: the descriptors, and which form they have.
type Bytes = (Vec<u8>, u8);

fn short(parts: &[(u32, u32)]) -> Bytes {
    let all = parts
        .iter()
        .flat_map(|(length, block)| [length.to_le_bytes(), block.to_le_bytes()]);
    (all.flatten().collect(), 0)
}

fn long(parts: &[(u32, u32, u16)]) -> Bytes {
    let mut out = Vec::new();
    for (length, block, partition) in parts {
        out.extend(length.to_le_bytes());
        out.extend(block.to_le_bytes());
        out.extend(partition.to_le_bytes());
        out.extend([0; 6]);
    }
    (out, 1)
}

fn embedded(bytes: &[u8]) -> Bytes {
    (bytes.to_vec(), 3)
}

impl Made {
    fn new(metadata: bool) -> Made {
        let mut made = Made {
            image: vec![0; SECTORS as usize * SECTOR],
            metadata,
        };
        for (n, id) in [b"BEA01", b"NSR03", b"TEA01"].into_iter().enumerate() {
            made.put(16 + n as u32, 1, id);
        }
        made.put(256, 16, &(8 * SECTOR as u32).to_le_bytes());
        made.put(256, 20, &260u32.to_le_bytes());
        made.seal(256, 2, 256, 512);
        // partition 7, and the volume that it is of
        made.put(260, 22, &7u16.to_le_bytes());
        made.put(260, 188, &START.to_le_bytes());
        made.put(260, 192, &(SECTORS - START).to_le_bytes());
        made.seal(260, 5, 260, 512);
        made.put(261, 84, b"\x08MADE");
        made.put(261, 84 + 127, &[5]);
        made.put(261, 212, &(SECTOR as u32).to_le_bytes());
        let set = u16::from(metadata).to_le_bytes();
        made.put(261, 248, &(SECTOR as u32).to_le_bytes());
        made.put(261, 256, &set);
        made.put(261, 268, &(1 + u32::from(metadata)).to_le_bytes());
        made.put(261, 440, &[1, 6, 1, 0, 7, 0]);
        if metadata {
            let mut map = [0; 64];
            map[..2].copy_from_slice(&[2, 64]);
            map[5..28].copy_from_slice(b"*UDF Metadata Partition");
            map[38] = 7;
            map[40] = 90;
            made.put(261, 446, &map);
            // in two pieces that do not follow each other
            made.raw(
                90,
                &short(&[(16 * 2048, 100), (64 * 2048, 130)]),
                250,
                80 * 2048,
                90,
            );
        }
        made.seal(261, 6, 261, 1024);
        made.seal(262, 8, 262, 512);
        // the set of files, and the root at block 2
        let at = made.sector(0);
        made.put(at, 400, &(SECTOR as u32).to_le_bytes());
        made.put(at, 404, &2u32.to_le_bytes());
        made.put(at, 408, &set);
        made.seal(at, 256, 0, 512);
        made
    }

    fn put(&mut self, sector: u32, offset: usize, bytes: &[u8]) {
        let at = sector as usize * SECTOR + offset;
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn seal(&mut self, sector: u32, id: u16, location: u32, length: usize) {
        seal(
            &mut self.image,
            sector as usize * SECTOR,
            id,
            location,
            length,
        );
    }

    /// The sector of a block of the partition that the entries are in.
    fn sector(&self, block: u32) -> u32 {
        match self.metadata {
            true if block < 16 => START + 100 + block,
            true => START + 130 + block - 16,
            false => START + block,
        }
    }

    fn raw(&mut self, block: u32, bytes: &Bytes, kind: u8, size: u64, location: u32) {
        self.write(START + block, bytes, kind, size, location, false);
    }

    fn write(
        &mut self,
        sector: u32,
        (area, form): &Bytes,
        kind: u8,
        size: u64,
        location: u32,
        extended: bool,
    ) {
        let (lengths, head, id) = match extended {
            true => (208, 216, 266),
            false => (168, 176, 261),
        };
        self.put(sector, 0, &[0; SECTOR]);
        self.put(sector, 20, &4u16.to_le_bytes());
        self.put(sector, 27, &[kind]);
        self.put(sector, 34, &u16::from(*form).to_le_bytes());
        self.put(sector, 56, &size.to_le_bytes());
        // four bytes of an attribute
        self.put(sector, lengths, &4u32.to_le_bytes());
        self.put(sector, lengths + 4, &(area.len() as u32).to_le_bytes());
        self.put(sector, head + 4, area);
        self.seal(sector, id, location, (head + 4 + area.len()).min(SECTOR));
    }

    fn entry(&mut self, block: u32, bytes: &Bytes, kind: u8, size: u64) {
        let sector = self.sector(block);
        self.write(sector, bytes, kind, size, block, block % 2 == 1);
    }

    fn file(&mut self, block: u32, bytes: &Bytes, size: u64) {
        self.entry(block, bytes, 5, size);
    }

    /// A directory whose names stand in its entry: name, block, characteristics.
    fn directory(&mut self, block: u32, names: &[(&[u8], u32, u8)]) {
        let names = self.names(names);
        let size = names.len() as u64;
        self.entry(block, &embedded(&names), 4, size);
    }

    fn names(&self, names: &[(&[u8], u32, u8)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, block, characteristics) in names {
            let length = (38 + name.len() + 3) & !3;
            let mut one = vec![0; length];
            one[18] = *characteristics;
            one[19] = name.len() as u8;
            one[20..24].copy_from_slice(&(SECTOR as u32).to_le_bytes());
            one[24..28].copy_from_slice(&block.to_le_bytes());
            one[28..30].copy_from_slice(&u16::from(self.metadata).to_le_bytes());
            one[38..38 + name.len()].copy_from_slice(name);
            seal(&mut one, 0, 257, 0, length);
            out.extend(one);
        }
        out
    }

    fn said(&self) -> String {
        tree(&self.image).expect_err("refused").to_string()
    }

    fn text(&self, path: &str) -> String {
        let tree = tree(&self.image).expect("a tree");
        let extents = tree.file(path).unwrap_or_else(|| panic!("no {path}"));
        let bytes = extents.iter().flat_map(|e| {
            let from = e.offset as usize;
            &self.image[from..from + e.size as usize]
        });
        String::from_utf8(bytes.copied().collect()).expect("text")
    }
}

/// One that has every form there is.
fn sound(metadata: bool) -> Made {
    let mut made = Made::new(metadata);
    let main = 0;
    made.put(START + 40, 0, &[b'a'; 4096]);
    made.put(START + 50, 0, &[b'b'; 2048]);
    made.put(START + 60, 0, b"short");
    let here = |block: u32| made.sector(block) - START;
    let (small, more) = (here(20), here(21));
    made.put(START + small, 0, b"near");
    let mut chain = vec![0; 24];
    chain[20..24].copy_from_slice(&16u32.to_le_bytes());
    chain.extend(long(&[(2048, 50, main)]).0);
    made.put(START + more, 0, &chain);
    let at = made.sector(21);
    made.seal(at, 258, 21, 40);
    made.file(4, &embedded(b"in its entry"), 12);
    made.file(5, &long(&[(4096, 40, main), (2048, 50, main)]), 5000);
    made.file(6, &short(&[(2048, 20)]), 4);
    let next = u16::from(metadata);
    made.file(7, &long(&[(4096, 40, main), (0xc000_0800, 21, next)]), 6144);
    made.file(8, &long(&[(0x4000_0800, 0, main)]), 2048);
    made.file(9, &embedded(b""), 0);
    made.entry(10, &embedded(b"x"), 12, 1);
    made.directory(11, &[(b"", 2, 10), (b"\x10\x65\xe5\x67\x2c", 4, 0)]);
    // what Windows writes: names of a directory outside of its entry
    let names = made.names(&[(b"\x08deep", 5, 0)]);
    let sector = made.sector(22);
    made.put(sector, 0, &names);
    made.entry(
        12,
        &short(&[(names.len() as u32, 22)]),
        4,
        names.len() as u64,
    );
    made.directory(
        2,
        &[
            (b"", 2, 10),
            (b"\x08embedded", 4, 0),
            (b"\x08Two", 5, 0),
            (b"\x08near", 6, 0),
            (b"\x08chain", 7, 0),
            (b"\x08hole", 8, 0),
            (b"\x08empty", 9, 0),
            (b"\x08link", 10, 0),
            (b"\x08gone", 99, 4),
            (b"\x08dir", 11, 2),
            (b"\x08far", 12, 2),
        ],
    );
    made
}

#[test]
fn every_form_of_a_file_is_read_in_both_kinds_of_partition() {
    for metadata in [false, true] {
        let made = sound(metadata);
        let tree = tree(&made.image).expect("a tree");
        assert_eq!(tree.label(), "MADE");
        assert_eq!(made.text("embedded"), "in its entry");
        assert_eq!(made.text("TWO"), "a".repeat(4096) + &"b".repeat(904));
        assert_eq!(made.text("near"), "near", "{metadata}");
        assert_eq!(made.text("chain"), "a".repeat(4096) + &"b".repeat(2048));
        assert_eq!(made.text("empty"), "");
        assert_eq!(made.text("dir/日本"), "in its entry");
        assert_eq!(made.text("far/deep"), made.text("two"));
        assert_eq!(tree.file("gone"), None);
        assert_eq!(
            tree.left_out(),
            [
                "`/hole` is not all on the medium",
                "`/link` is a link, which is not read in UDF",
            ]
        );
    }
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_read_without_end() {
    let with = |change: &dyn Fn(&mut Made)| {
        let mut made = sound(false);
        change(&mut made);
        made.said()
    };
    let cases: BTreeMap<&str, String> = [
        ("has a wrong checksum", with(&|m| m.put(START + 2, 0, &[6]))),
        (
            "is not what its checksum is of",
            with(&|m| m.put(START + 2, 60, &[6])),
        ),
        (
            "says that it stands elsewhere",
            with(&|m| {
                let names = m.names(&[]);
                m.write(START + 2, &embedded(&names), 4, 0, 3, false);
            }),
        ),
        (
            "within itself, or in two places",
            with(&|m| m.directory(11, &[(b"\x08up", 2, 2)])),
        ),
        (
            "the directory `/dir` is within itself",
            with(&|m| m.directory(11, &[(b"\x08same", 11, 2)])).replace("/dir/same", "/dir"),
        ),
        (
            "holds a name that is none",
            with(&|m| m.directory(11, &[(b"\x08..", 4, 0)])),
        ),
        (
            "`/dir` holds a name",
            with(&|m| m.directory(11, &[(b"\x08a/b", 4, 0)])),
        ),
        (
            "is outside of its partition",
            with(&|m| m.file(4, &short(&[(2048, 5000)]), 2048)),
        ),
        (
            "has fewer bytes than it says",
            with(&|m| m.file(4, &short(&[(2048, 40)]), 1 << 40)),
        ),
        (
            "in a partition that is not there",
            with(&|m| m.file(4, &long(&[(2048, 40, 9)]), 2048)),
        ),
        (
            "more bytes than its entry",
            with(&|m| m.file(4, &embedded(b"x"), 1 << 40)),
        ),
        (
            "the directory `/dir` has 43008000 bytes",
            with(&|m| m.entry(11, &long(&[(614_400, 0, 0); 70]), 4, 43_008_000)),
        ),
        (
            "no entry where it should be",
            with(&|m| m.directory(11, &[(b"\x08set", 0, 0)])),
        ),
        (
            "its blocks have 512 bytes",
            with(&|m| {
                m.put(261, 212, &512u32.to_le_bytes());
                m.seal(261, 6, 261, 1024);
            }),
        ),
        (
            "it is on a partition `*UDF Virtual Partition`",
            with(&|m| {
                m.put(261, 440, &[2, 64]);
                m.put(261, 445, b"*UDF Virtual Partition\0");
                m.seal(261, 6, 261, 1024);
            }),
        ),
        (
            "it is cut off: its UDF partition ends",
            with(&|m| m.image.truncate(400 * SECTOR)),
        ),
        (
            "more than 256 descriptors",
            with(&|m| {
                // a pointer to itself
                m.put(262, 20, &(8 * SECTOR as u32).to_le_bytes());
                m.put(262, 24, &262u32.to_le_bytes());
                m.seal(262, 3, 262, 512);
            }),
        ),
    ]
    .into_iter()
    .collect();
    for (sentence, said) in cases {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    // allocation descriptors that lead to themselves
    let begun = std::time::Instant::now();
    let said = with(&|m| {
        let at = m.sector(21);
        m.put(at, 20, &16u32.to_le_bytes());
        m.put(at, 24, &long(&[(0xc000_0800, 21, 0)]).0);
        m.seal(at, 258, 21, 40);
    });
    assert!(said.contains("more than 2000000 pieces"), "{said}");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever stands in an image, something is said of it, and what is served is within it.
    #[test]
    fn no_image_does_harm(
        metadata: bool,
        changes in prop::collection::vec((0usize..40, 0usize..SECTOR, any::<u8>()), 1..6),
    ) {
        let mut made = sound(metadata);
        // entries and descriptors are changed and sealed again, for else only checksums are tried
        let sectors: Vec<u32> = (256..263).chain((0..23).map(|b| made.sector(b))).collect();
        for (sector, offset, byte) in changes {
            let sector = sectors[sector % sectors.len()];
            made.put(sector, 16 + offset % (SECTOR - 16), &[byte]);
            let at = sector as usize * SECTOR;
            let id = u16::from_le_bytes([made.image[at], made.image[at + 1]]);
            let location = u32::from_le_bytes(made.image[at + 12..at + 16].try_into().expect("four"));
            let length = u16::from_le_bytes([made.image[at + 10], made.image[at + 11]]);
            if id != 0 && usize::from(length) <= SECTOR - 16 {
                made.seal(sector, id, location, usize::from(length) + 16);
            }
        }
        if let Ok(tree) = tree(&made.image) {
            for path in tree.below("") {
                for extent in tree.file(path).unwrap_or_default() {
                    prop_assert!(extent.offset + extent.size <= made.image.len() as u64);
                }
            }
        }
    }
}
