"""The browser view without ROS: frames put together, packed, and served with the page.

An image and its faces come from the node, `stamp_matcher` puts them together, `frame_packet` packs
them, `server` sends them to those browsers that are ready for one more, and the modules in `page/`
draw them. `access` checks permissions.
"""
