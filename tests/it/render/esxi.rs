//! The ESXi profile's own %pre section, run by the Python that is here. localcli, esxcli and partedUtil
//! are stand-ins that say what they are known to say; the disks are files, with what real tools made in
//! them.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::lifecycle::disks;
use farrier::model::DiskRule;
use farrier::render::{Rendered, render};

use super::server::Server;
use super::site::{distro_of, place, run, shipped};
use super::tier3::{machine, text};

const ROOT_PASSWORD: &str = "users = { root = { password = \"HASH\" } }\n";
const FOLDER: &str = "/vmfs/devices/disks/";
const MIB: u64 = 1 << 20;

/// An installer: a folder that stands for its root.
struct Installer {
    folder: tempfile::TempDir,
    /// What `storage core device list` says, a value of JSON each.
    devices: Vec<serde_json::Value>,
}

impl Installer {
    fn new() -> Installer {
        let folder = tempfile::tempdir().expect("a folder");
        let installer = Installer {
            folder,
            devices: Vec::new(),
        };
        fs::create_dir_all(installer.at(FOLDER)).expect("folders");
        installer.stub(
            "partedUtil",
            "case $1 in getptbl) ;; *) exit 9 ;; esac\ncat \"$ROOT$2.table\" || exit 255\n",
        );
        installer.stub("reboot", "echo reboot >>\"$ROOT/told\"\n");
        installer
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn stub(&self, name: &str, script: &str) {
        let path = self.at(&format!("bin/{name}"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, format!("#!/bin/sh\n{script}")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// A disk with what stands at which byte, and what partedUtil says of it; none if it fails.
    fn disk(
        &mut self,
        name: &str,
        table: Option<&str>,
        parts: &[(u64, &[u8])],
        says: &[(&str, &str)],
    ) {
        let path = self.at(&format!("{FOLDER}{name}"));
        let mut file = fs::File::create(&path).expect("a file");
        file.set_len(600 * MIB).expect("a length");
        for (at, bytes) in parts {
            file.seek(SeekFrom::Start(*at)).expect("a place");
            file.write_all(bytes).expect("written");
        }
        if let Some(table) = table {
            fs::write(path.with_file_name(format!("{name}.table")), table).expect("written");
        }
        let mut device = serde_json::json!({
            "Device": name, "Display Name": "Local Disk", "Devfs Path": format!("{FOLDER}{name}"),
            "Device Type": "Direct-Access", "Size": 65536, "Vendor": "ATA     ", "Model": "A disk",
            "Is Local": true, "Is SAS": false, "Is USB": false, "Is Removable": false,
        });
        for (key, value) in says {
            let value = match *value {
                "true" => serde_json::Value::Bool(true),
                "false" => serde_json::Value::Bool(false),
                text => text.into(),
            };
            device[*key] = value;
        }
        self.devices.push(device);
    }

    /// Without blanks in the names, as esxcli writes them.
    fn joined(&self) -> serde_json::Value {
        let devices = self.devices.iter().map(|device| {
            let all = device.as_object().expect("an object").iter();
            all.map(|(k, v)| (k.replace(' ', ""), v.clone()))
                .collect::<serde_json::Map<_, _>>()
        });
        devices.map(serde_json::Value::Object).collect()
    }

    /// Runs %pre; the server and what it sent.
    fn pre(&self, permit: (u16, &'static str)) -> (Server, String) {
        let (server, sent) = Server::of(
            |at| sound("", at),
            move |path, _, _| match path.ends_with("/disks") {
                true => (permit.0, permit.1.to_string()),
                false => (200, String::new()),
            },
        );
        let script = text(&sent, "ks.cfg");
        let (_, script) = script
            .split_once("%pre --interpreter=python\n")
            .expect("a section");
        let script = script.split_once("\n%").expect("another").0;
        let script = script
            .replace(
                "open(path, \"rb\"",
                "open(os.environ[\"ROOT\"] + path, \"rb\"",
            )
            .replace(
                "\"/tmp/farrier-disk.cfg\"",
                "os.environ[\"ROOT\"] + \"/disk.cfg\"",
            )
            .replace(
                "\"/var/log/weasel.log\"",
                "os.environ[\"ROOT\"] + \"/weasel.log\"",
            )
            .replace("time.sleep(600)", "pass");
        let file = self.at("pre.py");
        fs::write(&file, script).expect("written");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.at("bin").display());
        let done = Command::new("python3")
            .arg(&file)
            .env("PATH", path)
            .env("ROOT", self.folder.path())
            .output()
            .expect("python3");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        (server, said)
    }
}

fn sound(lines: &str, at: &farrier::render::Place) -> Rendered {
    made(lines, at).unwrap_or_else(|told| panic!("{told}"))
}

fn made(lines: &str, at: &farrier::render::Place) -> Result<Rendered, String> {
    let profile = shipped("esxi");
    let system = machine("esxi", &format!("{ROOT_PASSWORD}{lines}"));
    render(&system, &profile, &distro_of(&profile), at).map_err(|all| {
        let lines = all.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// The beginning of a file system in a file (`made`), by its own tool; none where that is not installed.
fn filled(folder: &Path, tool: &[&str]) -> Option<Vec<u8>> {
    let file = folder.join("made");
    let made = fs::File::create(&file).expect("a file");
    made.set_len(310 * MIB).expect("a length");
    let name = file.display().to_string();
    let words: Vec<&str> = tool[1..].iter().copied().chain([name.as_str()]).collect();
    let (ok, _, err) = run(tool[0], &words, "secret")?;
    assert!(ok, "{tool:?}: {err}");
    let mut head = vec![0; 64 * 1024];
    let mut made = fs::File::open(&file).expect("what it made");
    made.read_exact(&mut head).expect("its beginning");
    Some(head)
}

const NVME: &str = "t10.NVMe____Samsung_SSD_990_PRO_2TB_________________3B6D415144382500";
const SATA: &str = "t10.ATA_____ST4000NM000A2D2HZ100_________________________________WS21R4S8";

#[test]
fn esxi_reports_what_its_disks_are_and_hold() {
    let mut esxi = Installer::new();
    let folder = tempfile::tempdir().expect("a folder");
    let Some(fat) = filled(folder.path(), &["mkfs.vfat"]) else {
        return;
    };
    let head = &fat[..];
    let raw = "unknown\n7832 255 63 125829120\n";
    esxi.disk(
        "naa.5000c500a1b2c3d4",
        Some(raw),
        &[],
        &[("Is SAS", "true"), ("Model", "ST4000 ")],
    );
    esxi.disk(SATA, Some(raw), &[(512, b"LABELONE")], &[]);
    let own = "gpt\n8354 255 63 134217728\n1 64 204863 C12A7328F81F11D2BA4B00A0C93EC93B systemPartition 128\n\
        5 208896 409600 EBD0A0A2B9E5443387C068B6B72699C7 linuxNative 0\n\
        6 409600 500000 9D27538040AD11DBBF97000C2911D1B8 vmkDiagnostic 0\n\
        7 500000 600000 4EB2EA3978554790A79EFAE495E21F8D vmfsl 0\n\
        8 600000 700000 AA31E02A400F11DB9590000C2911D1B8 vmfs 0\n";
    esxi.disk(
        NVME,
        Some(own),
        &[(64 * 512, head), (208_896 * 512, head)],
        &[("Vendor", "NVMe    "), ("Model", "Samsung SSD 990 ")],
    );
    let mbr = "msdos\n8354 255 63 134217728\n1 2048 4096 131 128\n2 8192 16384 7 0\n3 16384 40000 5 0\n5 20480 40000 131 0\n";
    esxi.disk(
        "eui.0025388581b0a1c2",
        Some(mbr),
        &[
            (2048 * 512, b"XFSB"),
            (8192 * 512 + 3, b"NTFS    "),
            (20480 * 512, b"something"),
        ],
        &[],
    );
    esxi.disk("naa.60060160a1b2c3d4", None, &[], &[("Is Local", "false")]);
    esxi.disk(
        "mpx.vmhba32:C0:T0:L0",
        Some(raw),
        &[],
        &[("Is USB", "true"), ("Is Removable", "true")],
    );
    esxi.disk("naa.5000c500ffffffff", Some(raw), &[], &[]);
    fs::remove_file(esxi.at(&format!("{FOLDER}naa.5000c500ffffffff"))).expect("removed");
    esxi.disk(
        "mpx.vmhba0:C0:T4:L0",
        None,
        &[],
        &[("Device Type", "CD-ROM")],
    );

    let list = serde_json::to_string(&esxi.devices).expect("JSON");
    fs::write(esxi.at("blanks.json"), list).expect("written");
    fs::write(esxi.at("joined.json"), esxi.joined().to_string()).expect("written");
    let expected = [
        "naa.5000c500a1b2c3d4 [] [ATA ST4000] [0x5000c500a1b2c3d4] sas false ".to_string(),
        format!("{SATA} [WS21R4S8] [ATA A disk] [] sata false LVM2_member"),
        format!(
            "{NVME} [S7KHNJ0W] [NVMe Samsung SSD 990] [eui.0025384451416d3b] nvme false \
             VMFS_volume_member,gpt,vfat,vmfsl,vmkdiagnostic"
        ),
        "eui.0025388581b0a1c2 [] [ATA A disk] [eui.0025388581b0a1c2] local false dos,ntfs,unknown,xfs".to_string(),
        "naa.60060160a1b2c3d4 [] [ATA A disk] [0x60060160a1b2c3d4] fc false unknown".to_string(),
        "mpx.vmhba32:C0:T0:L0 [] [ATA A disk] [] usb true ".to_string(),
        "naa.5000c500ffffffff [] [ATA A disk] [0x5000c500ffffffff] local false unknown".to_string(),
    ];
    let tool = |list: &str| {
        format!(
            "case \"$*\" in *' storage core device list') cat \"$ROOT/{list}\" ;;\n\
             *' storage core path list') echo '[{{\"Device\": \"{NVME}\", \"Adapter\": \"vmhba2\"}}, {{\"Device\": \"{SATA}\", \"Adapter\": \"vmhba0\"}}]' ;;\n\
             *' nvme device get -A vmhba2') echo '{{\"Serial Number\": \"S7KHNJ0W      \"}}' ;; *) exit 1 ;; esac\n"
        )
    };
    let short = |d: &disks::ReportedDisk| {
        let contents = d.contents.join(",");
        let name = d.path.strip_prefix(FOLDER).expect("its folder");
        assert_eq!(
            (d.size, &d.links[..]),
            (65536 * MIB, &[format!("/dev/disks/{name}")][..])
        );
        format!(
            "{name} [{}] [{}] [{}] {} {} {contents}",
            d.serial, d.model, d.wwn, d.bus, d.removable
        )
    };
    // in the installer there is no hostd, which esxcli asks; where there is one, esxcli is as good, with
    // the word without which it knows no JSON
    let hidden = format!(
        "[ \"$1 $2\" = '--debug --formatter=json' ] || exit 1\n{}",
        tool("joined.json")
    );
    for (localcli, esxcli) in [
        (tool("blanks.json"), "exit 1\n".to_string()),
        ("exit 1\n".into(), hidden),
    ] {
        esxi.stub("localcli", &localcli);
        esxi.stub("esxcli", &esxcli);
        let permitted = "disk=/vmfs/devices/disks/naa.5000c500a1b2c3d4\n";
        let (server, said) = esxi.pre((200, permitted));
        assert_eq!(
            server.reports(),
            ["start", "disks", "progress/extract"],
            "{said}"
        );
        let found = disks::parse(&server.told("disks")[0]).expect("a report");
        assert_eq!(
            found.iter().map(short).collect::<Vec<_>>(),
            expected,
            "{said}"
        );
        assert_eq!(
            fs::read_to_string(esxi.at("disk.cfg")).expect("written"),
            "install --disk=/vmfs/devices/disks/naa.5000c500a1b2c3d4 --overwritevmfs\n"
        );
        fs::remove_file(esxi.at("disk.cfg")).expect("removed");

        // what the profile permits of it
        let may = shipped("esxi").may_destroy;
        let rule = |text: &str| DiskRule {
            path: Some(format!("/dev/disks/{text}")),
            ..DiskRule::default()
        };
        let choose = |name: &str, may: &[String], wipe| {
            let permission = disks::Permission {
                may_destroy: may,
                wipe,
                unfinished: &[],
            };
            disks::choose(&rule(name), permission, &found).map(|d| d.path.clone())
        };
        assert!(
            choose("naa.5000c500a1b2c3d4", &may, false).is_ok(),
            "it is blank"
        );
        assert!(choose(SATA, &may, false).is_ok(), "an LVM is Linux's");
        for (name, wipe, why) in [
            (
                NVME,
                true,
                "name `VMFS_volume_member` in the profile's `may_destroy`",
            ),
            ("eui.0025388581b0a1c2", false, "holds `ntfs`"),
            (
                "naa.5000c500ffffffff",
                false,
                "`wipe = true` for this system",
            ),
            ("naa.60060160a1b2c3d4", true, "on a storage network"),
        ] {
            let said = choose(name, &may, wipe).expect_err(name);
            assert!(said.contains(why), "{name}: {said}");
        }
        let with = [&may[..], &["VMFS_volume_member".to_string()]].concat();
        assert!(choose(NVME, &with, false).is_ok(), "and it is named");
    }

    // no permit, and nothing that lists disks
    let (server, _) = esxi.pre((409, "no disk matches"));
    assert_eq!(server.reports(), ["start", "disks", "fail/partition"]);
    esxi.stub("esxcli", "exit 1\n");
    fs::write(esxi.at("weasel.log"), "the log\n").expect("written");
    let (server, _) = esxi.pre((200, "disk=/vmfs/devices/disks/x\n"));
    assert_eq!(server.reports(), ["start", "bundle", "fail/partition"]);
    assert!(server.told("fail/partition")[0].contains("neither localcli nor esxcli"));
    assert!(
        !esxi.at("disk.cfg").exists(),
        "without a permit nothing is installed"
    );
}

#[test]
fn esxi_calls_what_is_on_a_disk_as_blkid_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let ks = text(&sound("", &place()), "ks.cfg");
    let from = ks.find("MIB = 1 << 20").expect("a constant");
    let marks =
        &ks[ks.find("MARKS = [").expect("a table")..ks.find("# What ESXi's own").expect("an end")];
    assert!(from > 0);
    let script = format!(
        "import sys\nMIB = 1 << 20\n{marks}\nprint(holds(open(sys.argv[1], 'rb', buffering=0), 0) or 'blank')\n"
    );
    let named = |file: &str| {
        run("python3", &["-c", &script, file], "").map(|(ok, out, err)| {
            assert!(ok, "{err}");
            out.trim().to_string()
        })
    };
    let file = folder.path().join("made").display().to_string();
    for tool in [
        &["mke2fs", "-q", "-F", "-t", "ext4"][..],
        &["mkswap"],
        &["mkfs.vfat", "-F", "32"],
        &["mkfs.vfat", "-F", "16"],
        &["mkfs.xfs", "-q"],
        &["mkfs.btrfs", "-q"],
        &["mkfs.ntfs", "-q", "-F", "-Q"],
        &["mkfs.exfat"],
        &[
            "cryptsetup",
            "luksFormat",
            "--batch-mode",
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            "-",
        ],
    ] {
        if filled(folder.path(), tool).is_none() {
            crate::skipped!("`{}` is not installed", tool[0]);
            continue;
        }
        let Some((true, out, _)) = run("blkid", &["-p", "-s", "TYPE", "-o", "value", &file], "")
        else {
            panic!("blkid knows nothing of {tool:?}");
        };
        assert_eq!(named(&file), Some(out.trim().to_string()), "{tool:?}");
    }
    for (at, bytes, name) in [
        (0, &b""[..], "blank"),
        (MIB - 1, b"x", "unknown"),
        (MIB, b"\x0d\xd0\x01\xc0", "VMFS_volume_member"),
        (512, b"LABELONE", "LVM2_member"),
        (131 * 1024, b"\x0c\xb1\xba\0\0\0\0\0", "zfs_member"),
        (0, b"bluestore block device\n", "ceph_bluestore"),
        (510, b"\x55\xaa", "unknown"),
    ] {
        let mut made = fs::File::create(&file).expect("a file");
        made.set_len(4 * MIB).expect("a length");
        made.seek(SeekFrom::Start(at)).expect("a place");
        made.write_all(bytes).expect("written");
        if let Some(found) = named(&file) {
            assert_eq!(found, name);
        }
    }
}

#[test]
fn what_esxi_would_not_find_or_could_not_reach_is_told() {
    let said = made("disk = { path = \"/dev/sda\" }\n", &place()).expect_err("refused");
    assert!(said.contains("/dev/disks/naa."), "{said}");
    let path = "disk = { path = \"/dev/disks/naa.5000c500a1b2c3d4\" }\n";
    assert!(made(path, &place()).is_ok());
    let warned = |secure: &str| {
        let mut at = place();
        at.secure = secure.parse().expect("an address");
        let rendered = sound("", &at);
        let told = rendered.warnings.iter().map(ToString::to_string);
        told.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(warned("10.77.0.1:443"), "");
    assert!(
        warned("10.77.0.1:8443").contains("lets nothing out to port 8443"),
        "{}",
        warned("10.77.0.1:8443")
    );
}
