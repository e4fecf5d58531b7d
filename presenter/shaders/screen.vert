// One triangle over the whole picture.
out vec2 q;
void main() {
  vec2 corner = vec2(gl_VertexID == 1 ? 3. : -1., gl_VertexID == 2 ? 3. : -1.);
  q = corner * .5 + .5;
  gl_Position = vec4(corner, .99999, 1.);
}
