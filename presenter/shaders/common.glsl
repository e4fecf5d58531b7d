#version 430
// Shared by all programs of the scene. Lengths are decimetres, colours linear light.
uniform mat4 view_projection;
uniform vec3 camera;
uniform vec3 lamp_position[4];
uniform vec3 lamp_colour[4];
uniform float lamp_radius[4];
uniform mat4 shadow_matrix[3];   // the fourth lamp casts no shadow
uniform sampler2D shadow_map[3];
uniform vec2 shadow_near_far;
uniform float shadow_focal;
uniform sampler3D noise;         // rgb gradient, a value around 0.5
uniform vec3 ambient;
uniform float exposure;
uniform float mouth_open;        // decimetres between the lips
uniform mat4 part_matrix;        // motion of a rigid part; identity for skinned ones

const vec2 DISC[16] = vec2[](
  vec2(-.94, -.40), vec2(.95, -.77), vec2(-.09, -.93), vec2(.34, .29), vec2(-.92, .46), vec2(-.82, -.88),
  vec2(-.38, .28), vec2(.97, .76), vec2(.44, -.98), vec2(.54, -.47), vec2(-.26, -.42), vec2(.79, .19),
  vec2(-.24, 1.), vec2(-.81, .91), vec2(.20, .79), vec2(.14, -.14));

float lamp_distance(int lamp, vec2 uv) {
  float near = shadow_near_far.x, far = shadow_near_far.y;
  float depth = 2. * texture(shadow_map[lamp], uv).r - 1.;
  return 2. * near * far / (far + near - depth * (far - near));
}

// Share of a lamp that a place sees: soft shadows whose width follows the blocker's distance.
float lamp_visibility(int lamp, vec3 place, vec3 normal) {
  vec4 h = shadow_matrix[lamp] * vec4(place + normal * .02, 1.);
  vec3 s = h.xyz / h.w * .5 + .5;
  if (any(lessThan(s.xy, vec2(.01))) || any(greaterThan(s.xy, vec2(.99)))) return 1.;
  float here = h.w, search = lamp_radius[lamp] / here * .12, blockers = 0., count = 0.;
  for (int k = 0; k < 16; k++) {
    float d = lamp_distance(lamp, s.xy + DISC[k] * search);
    if (d < here - .03) { blockers += d; count += 1.; }
  }
  if (count < .5) return 1.;
  float blocker = blockers / count;
  float width = clamp(lamp_radius[lamp] * (here - blocker) / blocker * shadow_focal * .5 / here, .0016, .05);
  float seen = 0.;
  for (int k = 0; k < 16; k++) {
    vec2 o = DISC[k];
    seen += step(here - .025, lamp_distance(lamp, s.xy + o * width));
    seen += step(here - .025, lamp_distance(lamp, s.xy + vec2(-o.y, o.x) * width * .66));
  }
  return seen / 32.;
}

vec3 lamp_visibilities(vec3 place, vec3 normal) {
  vec3 seen = vec3(0.);
  for (int i = 0; i < 3; i++)
    if (dot(normal, normalize(lamp_position[i] - place)) > -.35) seen[i] = lamp_visibility(i, place, normal);
  return seen;
}

// Khronos PBR Neutral tone mapping.
vec3 tone(vec3 c) {
  c *= exposure;
  float start = .8 - .04, desaturation = .15, low = min(c.r, min(c.g, c.b));
  c -= low < .08 ? low - 6.25 * low * low : .04;
  float peak = max(c.r, max(c.g, c.b));
  if (peak < start) return c;
  float d = 1. - start, new_peak = 1. - d * d / (peak + d - start);
  c *= new_peak / peak;
  return mix(c, vec3(new_peak), 1. - 1. / (desaturation * (peak - new_peak) + 1.));
}

float ggx(float nh, float a) { float d = nh * nh * (a * a - 1.) + 1.; return a * a / (3.14159 * d * d + 1e-6); }

float smith(float nl, float nv, float a) {
  float k = a * .5;
  return .25 / ((nl * (1. - k) + k) * (nv * (1. - k) + k) + 1e-5);
}

// All lamps on one surface; `wrap` lets light creep around (red farthest: light that travelled in the skin).
vec3 lit(vec3 place, vec3 n, vec3 seen, vec3 to_eye, vec3 albedo, float rough, float spec, float open_sky, vec3 wrap) {
  vec3 c = albedo * ambient * open_sky * (.75 + .25 * n.y);
  float nv = max(dot(n, to_eye), .02), a = rough * rough;
  for (int i = 0; i < 4; i++) {
    vec3 l = lamp_position[i] - place;
    float d = length(l);
    l /= d;
    float nl_raw = dot(n, l), s = i < 3 ? seen[i] : .8;
    if (nl_raw < -.35 || s < .004) continue;
    vec3 diffuse = max((vec3(nl_raw) + wrap) / ((1. + wrap) * (1. + wrap)), 0.);
    vec3 soft = wrap.r > .01 ? vec3(pow(s, .70), s, pow(s, 1.15)) : vec3(s);
    c += albedo * lamp_colour[i] * .31831 * diffuse * soft * mix(1., open_sky, .5);
    float nl = max(nl_raw, 0.);
    if (nl > 0.) {
      vec3 h = normalize(l + to_eye);
      float wide = clamp(a + lamp_radius[i] / (2.5 * d), 0., 1.), nh = max(dot(n, h), 0.);
      float fresnel = spec * .08 + (1. - spec * .08) * pow(1. - max(dot(to_eye, h), 0.), 5.);
      float lobe = ggx(nh, wide) * .8 + ggx(nh, min(wide * .55, 1.)) * .2;
      c += lamp_colour[i] * lobe * smith(nl, nv, wide) * fresnel * nl * s * open_sky;
    }
  }
  float rim = spec * .08 + (max(1. - rough, spec * .08) - spec * .08) * pow(1. - nv, 5.);
  return c + ambient * rim * open_sky * .9;
}
