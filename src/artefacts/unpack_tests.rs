//! Packages as Debian makes them, and as someone with ill will would.

use std::io::Cursor;

use super::*;

enum Member<'a> {
    File(&'a str, &'a str),
    Symbolic(&'a str, &'a str),
    Hard(&'a str, &'a str),
}
use Member::{File as F, Hard as H, Symbolic as S};

/// A tar with the names just as given: the tar crate's builder refuses the evil ones.
fn tar_of(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let (name, content, link, kind) = match member {
            F(name, content) => (name, *content, "", tar::EntryType::Regular),
            S(name, to) => (name, "", *to, tar::EntryType::Symlink),
            H(name, to) => (name, "", *to, tar::EntryType::Link),
        };
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder
            .append(&header, Cursor::new(content.as_bytes()))
            .expect("appended");
    }
    builder.into_inner().expect("a tar")
}

fn deb(dir: &Path, data_name: &str, data: &[u8]) -> PathBuf {
    let path = dir.join("p.deb");
    let mut ar = ar::Builder::new(File::create(&path).expect("created"));
    for (name, content) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar.xz", b"not looked at"),
        (data_name, data),
    ] {
        let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        ar.append(&header, content).expect("appended");
    }
    path
}

fn packed(name: &str, tar: &[u8]) -> Vec<u8> {
    match name {
        "data.tar.gz" => {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(tar).expect("packed");
            gz.finish().expect("packed")
        }
        "data.tar.xz" => {
            let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(tar).expect("packed");
            xz.finish().expect("packed")
        }
        "data.tar.zst" => zstd::encode_all(tar, 1).expect("packed"),
        _ => tar.to_vec(),
    }
}

/// Unpacks one path: its content, or the error's sentence.
fn take(members: &[Member<'_>], path: &str) -> Result<String, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let deb = deb(dir.path(), "data.tar", &tar_of(members));
    let to = dir.path().join("out");
    unpack(&deb, "p", &[(path.into(), to.clone())], &mut |_| true).map_err(|e| e.to_string())?;
    Ok(std::fs::read_to_string(to).expect("written"))
}

#[test]
fn every_packing_of_a_deb_is_read() {
    let tar = tar_of(&[F("./boot/a", "A"), F("./boot/b", "B")]);
    for name in ["data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst"] {
        let dir = tempfile::tempdir().expect("a directory");
        let deb = deb(dir.path(), name, &packed(name, &tar));
        let to = [dir.path().join("1"), dir.path().join("2")];
        let wanted = [
            ("boot/b".to_string(), to[0].clone()),
            ("/boot/b".to_string(), to[1].clone()),
        ];
        unpack(&deb, "p", &wanted, &mut |_| true).expect(name);
        for to in to {
            assert_eq!(std::fs::read(to).expect("written"), b"B", "{name}");
        }
    }
}

#[test]
fn links_are_followed_inside_the_package() {
    let members = [
        F("./usr/lib/x/real", "R"),
        S("./usr/lib/x/near", "real"),
        S("./usr/lib/x/far", "/usr/lib/y/up"),
        S("./usr/lib/y/up", "../x/real"),
        S("./lib", "usr/lib"),
        H("./usr/hard", "./usr/lib/x/real"),
        S("./usr/to-hard", "hard"),
        S("./out", "../../../../../usr/lib/x/real"),
    ];
    for path in [
        "usr/lib/x/near",
        "usr/lib/x/far",
        "lib/x/real",
        "lib/x/far",
        "usr/hard",
        "usr/to-hard",
        "out",
    ] {
        assert_eq!(take(&members, path), Ok("R".to_string()), "{path}");
    }
}

#[test]
fn links_that_lead_nowhere_or_out_are_refused() {
    let members = [
        S("./a", "b"),
        S("./b", "a"),
        S("./passwd", "/etc/passwd"),
        S("./up", "../../../../etc/passwd"),
        F("./dir/linux", "x"),
    ];
    for path in ["a", "passwd", "up", "dir", "etc/passwd", "../etc/passwd"] {
        let error = take(&members, path).expect_err(path);
        assert!(error.contains("holds no file"), "{path}: {error}");
    }
    let moved = take(&members, "elsewhere/linux").expect_err("moved");
    assert!(moved.ends_with("; it has `dir/linux`"), "{moved}");
}

#[test]
fn names_that_climb_are_only_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let members = [F("../../escape", "E"), F("/abs", "A"), F("./ok", "O")];
    let deb = deb(dir.path(), "data.tar", &tar_of(&members));
    let to = dir.path().join("out");
    unpack(&deb, "p", &[("ok".into(), to.clone())], &mut |_| true).expect("unpacked");
    assert_eq!(std::fs::read(to).expect("written"), b"O");
    let names = std::fs::read_dir(dir.path()).expect("listed").count();
    assert_eq!(names, 2, "the package and what was asked for");
}

#[test]
fn damage_and_giving_up_are_errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let tar = tar_of(&[F("./a", "A"), F("./b", "B")]);
    let whole = packed("data.tar.xz", &tar);
    let wanted = [("b".to_string(), dir.path().join("out"))];
    for (name, data, expect) in [
        ("data.tar.xz", &whole[..whole.len() / 2], "cannot unpack"),
        ("data.tar.lzma", &whole[..], "not known here"),
        ("other", &whole[..], "no `data.tar`"),
    ] {
        let deb = deb(dir.path(), name, data);
        let error = unpack(&deb, "p", &wanted, &mut |_| true).expect_err(name);
        assert!(error.to_string().contains(expect), "{error}");
    }
    let deb = deb(dir.path(), "data.tar.xz", &whole);
    let error = unpack(&deb, "p", &wanted, &mut |_| false).expect_err("given up");
    assert!(error.to_string().contains("given up"), "{error}");
}
