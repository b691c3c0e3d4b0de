"""The workshop of knowledge managers: catalogue, cases, resolutions and their history."""

from django.contrib import admin

from cases.admin import case, catalogue, image, job, parties, resolution  # noqa: F401  (register the models)

admin.site.site_header = "faultdiag knowledge base"
admin.site.site_title = "faultdiag knowledge base"
admin.site.index_title = "Knowledge base"
# The way back to the application stands in the header (templates/admin/base_site.html).
admin.site.site_url = None
