"""Every change of a label reaches the library's change log, whichever way it was made.

The trigger belongs to vision although it watches a table of cases, because cases knows nothing of vision.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION vision_log_label() RETURNS TRIGGER AS $$
BEGIN
    IF OLD.confirmed_category_id IS DISTINCT FROM NEW.confirmed_category_id OR OLD.role <> NEW.role THEN
        IF EXISTS (SELECT 1 FROM vision_embedding WHERE image_id = NEW.id) THEN
            PERFORM pg_advisory_xact_lock(hashtext('vision.library'));
            INSERT INTO vision_librarychange (space_id, image_id, operation, made_at)
            SELECT space_id, NEW.id,
                   CASE WHEN NEW.confirmed_category_id IS NOT NULL AND NEW.role <> 'label'
                        THEN 'add' ELSE 'remove' END,
                   now()
            FROM vision_embedding WHERE image_id = NEW.id;
        END IF;
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER vision_log_label AFTER UPDATE OF confirmed_category_id, role ON cases_caseimage
FOR EACH ROW EXECUTE FUNCTION vision_log_label();
"""

BACKWARD = """
DROP TRIGGER IF EXISTS vision_log_label ON cases_caseimage;
DROP FUNCTION IF EXISTS vision_log_label();
"""


class Migration(migrations.Migration):
    dependencies = [("vision", "0001_initial"), ("cases", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
