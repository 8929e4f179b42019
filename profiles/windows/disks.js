// The disks of this machine, one to a line, as the server wants them. JScript for cscript, because
// Windows PE of the installation medium has neither PowerShell nor, in late versions, wmic.
//
// Nothing here can read a disk, so none is ever called blank: where Windows sees no partition there may
// be an LVM, a ZFS, a Ceph, and that is `unknown`.
var wmi = GetObject("winmgmts:\\\\.\\root\\cimv2");
var files = new ActiveXObject("Scripting.FileSystemObject");

function all(service, query) {
    var found = [];
    for (var e = new Enumerator(service.ExecQuery(query)); !e.atEnd(); e.moveNext()) {
        found.push(e.item());
    }
    return found;
}

// A property, which an older Windows may not know.
function value(object, name) {
    try {
        var found = object[name];
        return found === null || found === undefined ? "" : String(found).replace(/^\s+|\s+$/g, "");
    } catch (e) {
        return "";
    }
}

// What Windows' storage management says, by the number of the disk. It knows the bus and the world-wide
// name; but it is not in the medium's boot.wim, only where somebody added WinPE-StorageWMI.
function managed(kind, key) {
    var found = {};
    try {
        var storage = GetObject("winmgmts:\\\\.\\root\\Microsoft\\Windows\\Storage");
        var list = all(storage, "SELECT * FROM " + kind);
        for (var i = 0; i < list.length; i++) {
            found[value(list[i], key)] = list[i];
        }
    } catch (e) {
        return {};
    }
    return found;
}

// What diskpart calls the bus of each disk. It has it from the same place, and is always there. Its labels
// are in the language of the medium: the type is the line after the one with the disk's identifier.
function told(numbers) {
    var found = {};
    try {
        var script = files.CreateTextFile("detail.txt", true);
        for (var i = 0; i < numbers.length; i++) {
            script.WriteLine("select disk " + numbers[i]);
            script.WriteLine("detail disk");
        }
        script.Close();
        new ActiveXObject("WScript.Shell").Run("cmd.exe /c diskpart.exe /s detail.txt >detail.out", 0, true);
        var file = files.OpenTextFile("detail.out", 1);
        var lines = file.ReadAll().split(/\r?\n/);
        file.Close();
        var types = [];
        for (var l = 0; l + 1 < lines.length; l++) {
            if (/:\s*(\{[0-9A-F-]{36}\}|[0-9A-F]{8})\s*$/i.test(lines[l])) {
                types.push(lines[l + 1].replace(/^[^:]*:\s*|\s+$/g, ""));
            }
        }
        for (var n = 0; types.length === numbers.length && n < numbers.length; n++) {
            found[numbers[n]] = types[n];
        }
    } catch (e) {
        return {};
    }
    return found;
}

// As Linux calls them. `untold`: nothing says whether the disk is on a storage network.
var BUSES = { 1: "scsi", 2: "ata", 3: "ata", 4: "ieee1394", 6: "fc", 7: "usb", 8: "raid", 9: "iscsi", 10: "sas", 11: "sata", 12: "mmc", 13: "mmc", 17: "nvme" };
var TYPES = { SCSI: "scsi", ATAPI: "ata", ATA: "ata", "1394": "ieee1394", FIBRE: "fc", "FIBRE CHANNEL": "fc", FC: "fc", USB: "usb", RAID: "raid", ISCSI: "iscsi", SAS: "sas", SATA: "sata", SD: "mmc", MMC: "mmc", NVME: "nvme" };
var INTERFACES = { IDE: "ata", USB: "usb", "1394": "ieee1394" };

function word(text) {
    return encodeURIComponent(text);
}

// A world-wide name as Linux writes it.
function named(id, format) {
    if (/^eui\./i.test(id)) {
        return id.toLowerCase();
    }
    if (!/^([0-9a-f]{16}){1,2}$/i.test(id)) {
        return "";
    }
    return format === "3" ? "0x" + id.toLowerCase() : format === "2" ? "eui." + id.toLowerCase() : "";
}

var disks = [];
var numbers = [];
var drives = all(wmi, "SELECT * FROM Win32_DiskDrive");
for (var d = 0; d < drives.length; d++) {
    // a reader without a card has no size
    if (/^[0-9]+$/.test(value(drives[d], "Size"))) {
        disks.push(drives[d]);
        numbers.push(value(drives[d], "Index"));
    }
}
var windows = managed("MSFT_Disk", "Number");
var physical = managed("MSFT_PhysicalDisk", "DeviceId");
var types = told(numbers);

for (var i = 0; i < disks.length; i++) {
    var disk = disks[i];
    var number = numbers[i];
    var id = disk.DeviceID.replace(/\\/g, "\\\\");
    var contents = {};
    var parts = all(wmi, "ASSOCIATORS OF {Win32_DiskDrive.DeviceID='" + id + "'} WHERE AssocClass=Win32_DiskDriveToDiskPartition");
    for (var p = 0; p < parts.length; p++) {
        var type = value(parts[p], "Type");
        var gpt = /^GPT/.test(type);
        contents[gpt ? "gpt" : "dos"] = true;
        var volumes = all(wmi, "ASSOCIATORS OF {Win32_DiskPartition.DeviceID='" + parts[p].DeviceID + "'} WHERE AssocClass=Win32_LogicalDiskToPartition");
        for (var v = 0; v < volumes.length; v++) {
            contents[value(volumes[v], "FileSystem").toLowerCase() || "unknown"] = true;
        }
        // without a letter nothing tells what is in it, save an ESP and what Windows reserves. On a disk
        // with an MBR `Installable File System` is any NTFS
        if (volumes.length === 0 && !(gpt && /^GPT: (System|Microsoft Reserved)$/.test(type))) {
            contents.unknown = true;
        }
    }
    if (parts.length === 0) {
        contents.unknown = true;
    }
    var words = [];
    for (var w in contents) {
        words.push(w);
    }
    var known = windows[number] || {};
    var serial = value(disk, "SerialNumber");
    var wwn = named(value(known, "UniqueId"), value(known, "UniqueIdFormat"));
    // of an NVMe that has an EUI-64, Windows gives that for a serial number
    if (/^([0-9A-F]{4}_)+[0-9A-F]{4}\.$/i.test(serial)) {
        wwn = "eui." + serial.replace(/[_.]/g, "").toLowerCase();
        serial = "";
    }
    serial = value(physical[number] || {}, "AdapterSerialNumber") || serial;
    var bus = BUSES[value(known, "BusType")] || TYPES[String(types[number] || "").toUpperCase()] ||
        INTERFACES[value(disk, "InterfaceType").toUpperCase()] || "untold";
    WScript.Echo("path=/dev/disk" + number + " size=" + value(disk, "Size") + " serial=" + word(serial) +
        " model=" + word(value(disk, "Model")) + " wwn=" + word(wwn) + " bus=" + word(bus) +
        " removable=" + (/Removable/i.test(value(disk, "MediaType")) ? 1 : 0) +
        " contents=" + words.join(","));
}
