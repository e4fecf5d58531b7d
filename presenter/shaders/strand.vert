// Strands as ribbons that face the viewer; two vertices a point, no vertex attributes.
layout(std430, binding = 0) buffer Points { vec4 point[]; };    // xyz, half width
layout(std430, binding = 1) buffer Lamps { vec4 lamp_share[]; };
layout(std430, binding = 2) buffer Traits { vec4 trait[]; };    // ambient share, random, opacity, -
uniform int points_per_strand;
uniform float width_scale;
uniform float least_width;   // half width per decimetre of distance: about a third of a pixel
uniform vec3 viewer;
uniform vec3 hair_colour;
uniform int shading;         // 0 hair, 1 brows and lashes, 2 none
out vec3 colour;
out float across;
out float opacity;
void main() {
  int i = gl_VertexID >> 1, k = points_per_strand, strand = i / k, j = i - strand * k;
  across = float(gl_VertexID & 1) * 2. - 1.;
  vec3 a = (part_matrix * vec4(point[i].xyz, 1.)).xyz;
  vec3 t = point[strand * k + min(j + 1, k - 1)].xyz - point[strand * k + max(j - 1, 0)].xyz;
  t = normalize(mat3(part_matrix) * t + vec3(0., 1e-7, 0.));
  float wanted = point[i].w * width_scale, width = max(wanted, least_width * length(viewer - a));
  vec3 P = a + normalize(cross(t, viewer - a)) * across * width;
  gl_Position = view_projection * vec4(P, 1.);
  opacity = clamp(wanted / width, 0., 1.) * trait[i].z;
  float sky = trait[i].x, random = trait[i].y;
  colour = vec3(0.);
  if (shading == 2) return;
  if (shading == 1) { colour = hair_colour * (ambient * 2. + lamp_colour[0] * .12) * mix(.6, 1.4, random); return; }
  vec3 to_eye = normalize(camera - P), base = hair_colour * mix(.62, 1.45, random);
  colour = base * ambient * sky * 1.7;
  float tv = dot(t, to_eye);
  vec3 eye_across = normalize(to_eye - tv * t);
  for (int l = 0; l < 4; l++) {
    vec3 light = normalize(lamp_position[l] - P);
    float tl = dot(t, light), sine = sqrt(max(1. - tl * tl, 0.));
    float facing = clamp(dot(eye_across, normalize(light - tl * t + 1e-5)), -1., 1.), half_facing = .5 + .5 * facing;
    float shift = tl + tv + (random - .5) * .10;
    // Three paths of light: off the surface, through and back (tinted), straight through (backlight).
    float surface = .085 * exp(-pow((shift + .07) / .13, 2.)) * sqrt(max(half_facing, 0.));
    vec3 back = pow(base, vec3(.62)) * .62 * exp(-pow((shift - .10) / .24, 2.)) * pow(max(half_facing, 0.), 2.5);
    vec3 through = pow(base, vec3(.45)) * .8 * exp(-pow((shift - .03) / .30, 2.)) * pow(max(.5 - facing * .5, 0.), 4.);
    float share = lamp_share[i][l];
    vec3 sheen = surface * mix(vec3(1.), pow(base, vec3(.35)) * 1.6, .6);
    colour += lamp_colour[l] * share * sine * .40 * (base * (.50 + .55 * half_facing) * 1.2 + sheen + back * .75
            + through * share * .7);
  }
}
