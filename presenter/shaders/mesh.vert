// Skin, cloth, teeth, tongue and eyes. Shadows are looked up per vertex: the meshes are fine.
in vec3 position;
in vec3 normal;
in vec3 rest;
in vec3 colour;
in vec2 uv;
in vec2 traits;  // x: inside of the mouth, y: open sky (ambient occlusion)
out vec3 P, N, R, C, S;
out vec2 U, A;
void main() {
  vec4 place = part_matrix * vec4(position, 1.);
  P = place.xyz;
  N = mat3(part_matrix) * normal;
  R = rest; C = colour; U = uv; A = traits;
  bool turned_away = dot(N, camera - P) < -.4 * length(camera - P);
  S = turned_away ? vec3(0.) : lamp_visibilities(P, normalize(N));
  gl_Position = view_projection * vec4(P, 1.);
}
