"""The API's addresses of the knowledge base. Names begin with "api-"; pages have the plain ones."""

from rest_framework.routers import SimpleRouter

from cases.api import cases, catalogue, images, jobs, parties, resolutions

router = SimpleRouter()
router.register("cases", cases.CaseViewSet, "api-case")
router.register("images", images.ImageViewSet, "api-image")
router.register("categories", catalogue.CategoryViewSet, "api-category")
router.register("examples", images.ExampleViewSet, "api-example")
router.register("parts", parties.PartViewSet, "api-part")
router.register("customers", parties.CustomerViewSet, "api-customer")
router.register("suppliers", parties.SupplierViewSet, "api-supplier")
router.register("sites", parties.SiteViewSet, "api-site")
router.register("actions", catalogue.ActionViewSet, "api-action")
router.register("resolutions", resolutions.ResolutionViewSet, "api-resolution")
router.register("jobs", jobs.JobViewSet, "api-job")
