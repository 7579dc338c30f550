"""Makes the installed rclpy destroy its nodes at shutdown, where this folder is on the path.

Since Kilted a context that is shut down destroys its nodes first; up to Jazzy they stay.
"""

import weakref

from rclpy.context import Context
from rclpy.node import Node

nodes = weakref.WeakSet()
make, destroy, shut_down = Node.__init__, Node.destroy_node, Context.try_shutdown


def make_and_track(self, *arguments, **keywords):
    make(self, *arguments, **keywords)
    nodes.add(self)


def untrack_and_destroy(self):
    nodes.discard(self)
    destroy(self)


def destroy_nodes_and_shut_down(self):
    for node in [*nodes]:
        node.destroy_node()
    shut_down(self)


Node.__init__ = make_and_track
Node.destroy_node = untrack_and_destroy
Context.try_shutdown = destroy_nodes_and_shut_down
