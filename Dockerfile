# The package on ROS 2 with the lines of docs/install.md, for amd64 and arm64:
#
#   docker build -t maix_facemesh_ros .
#   docker build -t maix_facemesh_ros --build-arg ROS_DISTRO=humble .
#   docker buildx build --platform linux/arm64 -t maix_facemesh_ros .
#   docker run --rm --network host --ipc host maix_facemesh_ros \
#     ros2 launch maix_facemesh_ros facemesh.launch.py image:=/camera/image_raw
#
# It has never been built: where the package is developed there is no Docker. A test compares its lines
# with those of docs/install.md.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}

# For `source`.
SHELL ["/bin/bash", "-c"]
WORKDIR /workspace
COPY . src/maix_facemesh_ros

# Lets pip install next to Ubuntu's packages (PEP 668).
ENV PIP_BREAK_SYSTEM_PACKAGES=1
RUN apt-get update && apt-get install --yes python3-pip && rosdep update && \
  rosdep install --from-paths src --ignore-src -y && \
  pip install -r src/maix_facemesh_ros/requirements/pip.txt && \
  rm -rf /var/lib/apt/lists/*
RUN source /opt/ros/$ROS_DISTRO/setup.bash && \
  colcon build --packages-select maix_facemesh_ros

# Sources the workspace, which sources /opt/ros, before any command.
RUN echo 'source /workspace/install/setup.bash && exec "$@"' > /entrypoint.bash
ENTRYPOINT ["/bin/bash", "/entrypoint.bash"]
CMD ["bash"]
