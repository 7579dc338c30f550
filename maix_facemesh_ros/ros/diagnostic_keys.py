"""The keys of the node's status on /diagnostics, for its writer and its readers.

Monitors of users read them too, so a key keeps its spelling.
"""

from __future__ import annotations

#: Ends the name of the status, after the full name of the node.
STATUS = ": faces"

#: State of the node's lifecycle, such as `active`.
STATE = "lifecycle state"

#: Topic or source of the images.
IMAGES_FROM = "pictures from"
CALIBRATION = "calibration"
POSE = "pose"
#: With `depth_topic`: the depth images and their use.
DEPTH = "depth images"
#: Of 16-bit images: which values have become black and white in the last one.
LEVELS = "black and white of 16 bits"

#: Numbers of publishers and subscribers that the node knows on its topics.
IMAGE_PUBLISHERS = "publishers of images"
CALIBRATION_PUBLISHERS = "publishers of calibrations"
FACES_SUBSCRIBERS = "subscribers of faces"

#: Faces in the last image.
FACES = "faces"
#: Images per second since the last message, as text with the unit.
RATE_IN, RATE_OUT = "rate in", "rate out"

#: Counts of images since the start. An image that has arrived and is neither answered nor counted
#: as not answered is waiting or being processed.
ARRIVED = "pictures arrived"
ANSWERED = "pictures answered"
NOT_ANSWERED = "pictures not answered"
LOST_IN_TRANSPORT = "pictures lost in transport"

#: Begins the keys of the counts by reason, of which these are all.
REASON = "not answered: "
REPLACED = "a newer image came before it was its turn"
UNUSABLE = "an image that cannot be used"
FAULT = "a fault of the node"
NO_KEY_FRAME = "a video that waits for its key frame"
DEACTIVATED = "the node was deactivated before it was its turn"

#: Steps with an image; their median time is under the step with `MEDIAN` after it.
MEDIAN = ", median"
READ, FIND, PUBLISH = "read the message", "find faces", "publish"
VIEWS, JPEG_VIEWS = "views", "views of JPEGs"
