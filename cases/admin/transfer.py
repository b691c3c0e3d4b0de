"""Import with a preview of every change, and export, as CSV or XLSX."""

import zipfile

from django import forms
from import_export.admin import ImportExportMixin
from import_export.forms import ExportForm, ImportForm

from cases.tables import CsvTable, XlsxTable

MAX_TABLE_BYTES = 10 * 2**20
#: An XLSX is a ZIP archive: what it says that it unpacks to.
MAX_UNPACKED_BYTES = 200 * 2**20


class TableImportForm(ImportForm):
    def clean_import_file(self):
        file = self.cleaned_data["import_file"]
        if file.size > MAX_TABLE_BYTES:
            raise forms.ValidationError(
                f"{file.name} has {file.size / 2**20:.1f} MiB, and a table may have at most"
                f" {MAX_TABLE_BYTES // 2**20} MiB: split it."
            )
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > MAX_UNPACKED_BYTES:
                raise forms.ValidationError(
                    f"{file.name} unpacks to {unpacked / 2**20:.0f} MiB, and a table may have at most"
                    f" {MAX_UNPACKED_BYTES // 2**20} MiB: split it."
                )
        file.seek(0)
        return file


class TransferMixin(ImportExportMixin):
    """Whoever may add and change may import; whoever may view may export."""

    formats = [CsvTable, XlsxTable]
    import_form_class = TableImportForm
    export_form_class = ExportForm  # all columns: choosing some needs inline scripts

    def has_import_permission(self, request):
        return self.has_add_permission(request) and self.has_change_permission(request)

    def has_export_permission(self, request):
        return self.has_view_permission(request)

    def add_data_read_fail_error_to_form(self, form, e):
        form.add_error(
            "import_file",
            "The file can't be read as the chosen format. Save it as CSV in UTF-8, or as XLSX, and choose"
            " that format below.",
        )
