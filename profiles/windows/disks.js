// The disks of this machine, one to a line, as the server wants them. JScript for cscript, because
// Windows PE of the installation medium has neither PowerShell nor, in late versions, wmic.
var wmi = GetObject("winmgmts:\\\\.\\root\\cimv2");

function all(query) {
    var found = [];
    for (var e = new Enumerator(wmi.ExecQuery(query)); !e.atEnd(); e.moveNext()) {
        found.push(e.item());
    }
    return found;
}

function word(value) {
    return encodeURIComponent(String(value === null || value === undefined ? "" : value).replace(/^\s+|\s+$/g, ""));
}

var disks = all("SELECT * FROM Win32_DiskDrive");
for (var i = 0; i < disks.length; i++) {
    var disk = disks[i];
    var id = disk.DeviceID.replace(/\\/g, "\\\\");
    var contents = {};
    var parts = all("ASSOCIATORS OF {Win32_DiskDrive.DeviceID='" + id + "'} WHERE AssocClass=Win32_DiskDriveToDiskPartition");
    for (var p = 0; p < parts.length; p++) {
        contents[/^GPT/.test(parts[p].Type) ? "gpt" : "dos"] = true;
        var volumes = all("ASSOCIATORS OF {Win32_DiskPartition.DeviceID='" + parts[p].DeviceID + "'} WHERE AssocClass=Win32_LogicalDiskToPartition");
        for (var v = 0; v < volumes.length; v++) {
            contents[volumes[v].FileSystem ? String(volumes[v].FileSystem).toLowerCase() : "unknown"] = true;
        }
        // without a letter nothing tells what is in it, save what Windows itself makes
        if (volumes.length === 0 && !/System|Reserved|Recovery/i.test(parts[p].Type)) {
            contents["unknown"] = true;
        }
    }
    var words = [];
    for (var w in contents) {
        words.push(w);
    }
    var bus = String(disk.InterfaceType || "").toLowerCase();
    WScript.Echo("path=/dev/disk" + disk.Index + " size=" + disk.Size + " serial=" + word(disk.SerialNumber) +
        " model=" + word(disk.Model) + " wwn= bus=" + word(bus) +
        " removable=" + (/Removable/i.test(String(disk.MediaType)) ? 1 : 0) +
        " contents=" + (words.length ? words.join(",") : "blank"));
}
