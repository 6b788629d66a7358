# What Pillow, which shares no code with the SDK, says of each picture named on standard input: a line of JSON for each.
import json
import sys
import warnings

from PIL import Image, ImageOps

warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = None
for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            size = picture.size
            kind = picture.format
            picture.load()
            # Its TIFF reader turns a picture by itself.
            turned = ImageOps.exif_transpose(picture) if frames == 1 and kind != "TIFF" else picture
            print(json.dumps({"path": path, "format": kind, "frames": frames, "size": size, "turned": turned.size}))
    except Exception as error:
        print(json.dumps({"path": path, "error": str(error)[:200]}))
