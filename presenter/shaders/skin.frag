in vec3 P, N, R, C, S;
in vec2 U, A;
out vec4 pixel;
uniform sampler2D lip_mask;
uniform vec3 lip_colour;
uniform vec3 mouth_colour;
uniform vec3 blush;
uniform float pores;
void main() {
  vec3 n = normalize(N), to_eye = normalize(camera - P);
  float inside = A.x, open_sky = A.y;
  if (dot(n, to_eye) < 0. && inside > .5) n = -n;
  float lip = texture(lip_mask, U).r;
  vec4 broad = texture(noise, R * .55), medium = texture(noise, R * 2.6), fine = texture(noise, R * 7.3);
  float tint = (.91 + .18 * broad.a) * (.96 + .08 * medium.a);
  vec3 albedo = C * vec3(pow(tint, .6), tint, pow(tint, 1.1));
  albedo = mix(albedo, blush, clamp((texture(noise, R * .2 + .3).a - .5) * .5, 0., 1.));
  albedo = mix(albedo, mix(lip_colour, lip_colour * .78, fine.a * .6), lip * .86);
  albedo = mix(albedo, mouth_colour, inside);
  vec3 bumps = medium.rgb * .5 + fine.rgb * .55;
  bumps -= dot(bumps, n) * n;
  n = normalize(n - bumps * (.045 * pores + .06 * lip));
  float rough = .43 + .14 * medium.a - .13 * lip + .3 * inside;
  if (inside > .05) {
    float depth = max(1.37 - R.z, 0.);
    float light = clamp(mouth_open * 1.6 / (.04 + depth * depth * 3. + mouth_open * 1.6), 0., 1.);
    open_sky = mix(open_sky, max(light, .16), inside);
  }
  vec3 wrap = vec3(.38, .17, .10) * (1. - inside);
  pixel = vec4(tone(lit(P, n, S, to_eye, albedo, rough, .40 - .3 * inside, open_sky, wrap)), 1.);
}
